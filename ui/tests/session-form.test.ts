/** The form for a new session: what it asks the gateway for, and where it says what is wrong. */

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { afterEach, expect, it, vi } from 'vitest';
import type { Category, Directory } from '../src/lib/api/types';
import SessionForm from '../src/lib/components/SessionForm.svelte';
import { Refused, standIn, type Asked } from './gateway-stand-in';

const DIRECTORIES = 'GET /api/v1/training/directories';
const CATEGORIES = 'GET /api/v1/categories';
const CREATE = 'POST /api/v1/training/sessions';
const START = 'POST /api/v1/training/sessions/5/start';

function directory(path: string, changes: Partial<Directory> = {}): Directory {
  return {
    path,
    name: path.slice(path.lastIndexOf('/') + 1),
    imageCount: 40,
    imageCountIsComplete: true,
    selected: false,
    ignored: false,
    trainedCount: 0,
    lastTrainedAt: null,
    trainingStatus: 'never',
    ...changes,
  };
}

function category(id: number, name: string): Category {
  const createdAt = '2026-01-12T10:00:00.000Z';
  return { id, name, description: null, color: null, isDefault: false, createdAt, updatedAt: createdAt, sessionCount: 0 };
}

const BELOW: Record<string, Directory[]> = {
  '': [directory('/photos'), directory('/scans', { imageCount: 0 })],
  '/photos': [
    directory('/photos/2024', { trainingStatus: 'partial', trainedCount: 12 }),
    directory('/photos/2025', { imageCountIsComplete: false }),
    directory('/photos/private', { ignored: true }),
  ],
  '/photos/2024': [],
};

const user = userEvent.setup();

function show(answers: Parameters<typeof standIn>[0] = {}): Asked[] {
  const asked = standIn({
    [DIRECTORIES]: (_body, url) => BELOW[url.searchParams.get('path') ?? ''],
    'GET /api/v1/training/directories/preview': (_body, url) => ({
      directory: url.searchParams.get('path'),
      imageCount: 30,
      images: [{ filename: 'a b.jpg', fullPath: '/photos/2024/a b.jpg', sizeBytes: 1, modifiedAt: null }],
    }),
    [CATEGORIES]: () => ({ items: [category(3, 'Family')], total: 1, page: 1, pageSize: 100, hasMore: false }),
    [CREATE]: () => ({ id: 5 }),
    [START]: () => ({ sessionId: 5, status: 'running', message: '' }),
    ...answers,
  });
  render(SessionForm);
  return asked;
}

function sentTo(asked: Asked[], what: string): unknown[] {
  return asked.filter((each) => each.what === what).map(({ body }) => body);
}

afterEach(() => {
  vi.unstubAllGlobals();
  location.hash = '';
});

it('trains on the ticked folder, called as it is', async () => {
  const asked = show();
  await user.click(await screen.findByRole('checkbox', { name: '2024' }));
  expect(screen.getByText('1 folder, 40 photos')).toBeTruthy();
  await user.click(screen.getByRole('button', { name: 'Start training' }));
  await waitFor(() => {
    expect(location.hash).toBe('#/sessions/5');
  });
  expect(sentTo(asked, CREATE)).toEqual([
    { name: '2024', categoryId: null, rootPath: '/photos/2024', subdirectories: [] },
  ]);
  expect(sentTo(asked, START)).toHaveLength(1);
});

it('takes several folders, a typed name and a category, and need not start', async () => {
  const asked = show();
  await user.click(await screen.findByRole('checkbox', { name: '2024' }));
  await user.click(screen.getByRole('checkbox', { name: '2025' }));
  expect(screen.getByText('2 folders, more than 80 photos')).toBeTruthy();
  const name = screen.getByRole('textbox', { name: 'Name' });
  await user.clear(name);
  await user.type(name, ' Summers ');
  await user.selectOptions(screen.getByRole('combobox', { name: 'Category' }), 'Family');
  await user.click(screen.getByRole('button', { name: 'Create it, and start later' }));
  await waitFor(() => {
    expect(location.hash).toBe('#/sessions/5');
  });
  expect(sentTo(asked, CREATE)).toEqual([
    { name: 'Summers', categoryId: 3, rootPath: '/photos', subdirectories: ['/photos/2024', '/photos/2025'] },
  ]);
  expect(sentTo(asked, START)).toEqual([]);
});

it('tells of each folder how many photos it has, and what of it is trained or left out', async () => {
  show();
  const row = (await screen.findByRole('checkbox', { name: '2024' })).closest('.row');
  expect(row?.textContent).toContain('40 photos');
  expect(row?.textContent).toContain('12 trained');
  expect(screen.getByRole('checkbox', { name: '2025' }).closest('.row')?.textContent).toContain('over 40 photos');
  expect(screen.getByRole<HTMLInputElement>('checkbox', { name: 'private' }).disabled).toBe(true);
});

it('shows the photos of the folder that the reader is at', async () => {
  show();
  await user.click(await screen.findByRole('checkbox', { name: '2024' }));
  const picture = await within(screen.getByRole('complementary')).findByRole('img', { name: 'a b.jpg' });
  expect(picture.getAttribute('src')).toBe(
    '/api/v1/training/directories/preview/thumbnail?path=%2Fphotos%2F2024%2Fa+b.jpg',
  );
  expect(screen.getByText('and 29 more in this folder')).toBeTruthy();
});

it('is gone through and ticked with the keyboard alone', async () => {
  show();
  (await screen.findByRole('checkbox', { name: '2024' })).focus();
  await user.keyboard('{ArrowDown}');
  expect(document.activeElement).toBe(screen.getByRole('checkbox', { name: '2025' }));
  await user.keyboard(' {ArrowUp}{ArrowLeft}');
  expect(screen.getByRole<HTMLInputElement>('checkbox', { name: '2025' }).checked).toBe(true);
  expect(document.activeElement).toBe(screen.getByRole('checkbox', { name: /^photos/ }));
  await user.keyboard('{ArrowLeft}');
  expect(screen.queryByRole('checkbox', { name: '2025' })).toBeNull();
  await user.keyboard('{ArrowRight}');
  expect(await screen.findByRole('checkbox', { name: '2025' })).toBeTruthy();
});

it('ticks what is below a ticked folder with it', async () => {
  show();
  await user.click(await screen.findByRole('checkbox', { name: '2024' }));
  await user.click(screen.getByRole('checkbox', { name: /^photos/ }));
  const below = screen.getByRole<HTMLInputElement>('checkbox', { name: '2024' });
  expect([below.checked, below.disabled]).toEqual([true, true]);
});

it('asks for a name where it is only blanks', async () => {
  const asked = show();
  await user.click(await screen.findByRole('checkbox', { name: '2024' }));
  const name = screen.getByRole('textbox', { name: 'Name' });
  await user.clear(name);
  await user.type(name, '  ');
  await user.click(screen.getByRole('button', { name: 'Start training' }));
  expect(await screen.findByText('Give the session a name.')).toBeTruthy();
  expect(document.activeElement).toBe(name);
  expect(sentTo(asked, CREATE)).toEqual([]);
});

it('asks for a folder where none is ticked', async () => {
  const asked = show();
  const first = await screen.findByRole('checkbox', { name: /^photos/ });
  await user.type(screen.getByRole('textbox', { name: 'Name' }), 'Nothing');
  await user.click(screen.getByRole('button', { name: 'Start training' }));
  expect(screen.getByText('Tick the folders to train on.')).toBeTruthy();
  expect(document.activeElement).toBe(first);
  expect(sentTo(asked, CREATE)).toEqual([]);
});

it.each([
  ['the folders', new Refused(400, 'directory_not_found', 'It is gone.'), 'folders-mistake'],
  ['the name', new Refused(422, 'invalid_request', 'Too long.', { field: 'name' }), 'name-mistake'],
  ['the category', new Refused(404, 'not_found', 'There is no category 3.'), 'category-mistake'],
])('says what the gateway objects to at %s', async (_where, refused, id) => {
  show({ [CREATE]: () => refused });
  await user.click(await screen.findByRole('checkbox', { name: '2024' }));
  await user.click(screen.getByRole('button', { name: 'Start training' }));
  await waitFor(() => {
    expect(document.getElementById(id)?.textContent).toBe(refused.message);
  });
  expect(document.activeElement).not.toBe(document.body);
});

it('makes a new category, once, also where the session is refused at first', async () => {
  let refused: unknown = new Refused(400, 'directory_not_found', 'It is gone.');
  const asked = show({
    [CREATE]: () => refused,
    'POST /api/v1/categories': () => category(8, 'Travels'),
  });
  await user.click(await screen.findByRole('checkbox', { name: '2024' }));
  await user.selectOptions(screen.getByRole('combobox', { name: 'Category' }), 'New…');
  await user.type(screen.getByRole('textbox', { name: 'Name of the new category' }), 'Travels');
  await user.click(screen.getByRole('button', { name: 'Start training' }));
  expect(await screen.findByText('It is gone.')).toBeTruthy();
  refused = { id: 5 };
  await user.click(screen.getByRole('button', { name: 'Start training' }));
  await waitFor(() => {
    expect(location.hash).toBe('#/sessions/5');
  });
  expect(sentTo(asked, 'POST /api/v1/categories')).toEqual([{ name: 'Travels' }]);
  expect(sentTo(asked, CREATE)).toHaveLength(2);
  expect(sentTo(asked, CREATE).at(-1)).toMatchObject({ categoryId: 8 });
});

it('leads to a session that was created but could not be started', async () => {
  show({ [START]: () => new Refused(503, 'database_away', 'The database is away.') });
  await user.click(await screen.findByRole('checkbox', { name: '2024' }));
  await user.click(screen.getByRole('button', { name: 'Start training' }));
  expect((await screen.findByRole('alert')).textContent).toContain('The database is away.');
  expect(screen.getByRole('link', { name: 'Open it' }).getAttribute('href')).toBe('#/sessions/5');
});

it('leaves a folder out of every session, and takes it up again, in the open tree', async () => {
  let ignored = false;
  const asked = show({
    [DIRECTORIES]: (_body, url) => {
      const path = url.searchParams.get('path');
      return path === null ? BELOW[''] : path === '/photos' ? [directory('/photos/2024', { ignored })] : [];
    },
    'POST /api/v1/training/directories/ignore': () => {
      ignored = true;
      return { status: 'ignored' };
    },
    'DELETE /api/v1/training/directories/ignore': () => {
      ignored = false;
      return { status: 'restored' };
    },
  });
  const box = await screen.findByRole<HTMLInputElement>('checkbox', { name: '2024' });
  box.focus();
  await user.click(await screen.findByRole('button', { name: 'Leave it out of every session' }));
  await waitFor(() => {
    expect(box.disabled).toBe(true);
  });
  expect(sentTo(asked, 'POST /api/v1/training/directories/ignore')).toEqual([{ path: '/photos/2024' }]);
  await user.click(await screen.findByRole('button', { name: 'Let sessions train on it again' }));
  await waitFor(() => {
    expect(box.disabled).toBe(false);
  });
});
