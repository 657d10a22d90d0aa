/** The photos that failed: each with its reason, to be tried again one by one or all at once. */

import { render, screen, waitFor } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { afterEach, expect, it, vi } from 'vitest';
import type { Action } from '../src/lib/api/client';
import FailedPhotos from '../src/lib/components/FailedPhotos.svelte';
import { Refused, standIn, type Asked } from './gateway-stand-in';

const RETRY = 'POST /api/v1/training/sessions/7/jobs/11/retry';
const user = userEvent.setup();

function job(id: number, imagePath: string): object {
  const errorMessage = 'The file ends in the middle of the picture.';
  return { id, sessionId: 7, imagePath, errorMessage, errorCode: 'corrupt', errorPhase: 'training', status: 'failed' };
}

const MANY = 120;
const PAGE_SIZE = 50;

/** A page of many that failed. */
function pageOfMany(url: URL): object {
  const page = Number(url.searchParams.get('page'));
  const first = (page - 1) * PAGE_SIZE;
  const items = Array.from({ length: Math.min(PAGE_SIZE, MANY - first) }, (_, place) =>
    job(first + place + 1, `/photos/${first + place + 1}.jpg`),
  );
  return { items, total: MANY, page, pageSize: PAGE_SIZE, hasMore: first + items.length < MANY };
}

function show(properties: { canRetry?: boolean } = {}, retried: unknown = {}): [Asked[], (action: Action) => void] {
  const items = [job(11, '/photos/a.jpg'), job(12, '/photos/b.jpg')];
  const asked = standIn({
    'GET /api/v1/training/sessions/7/jobs': () => ({ items, total: 2, page: 1, pageSize: 50, hasMore: false }),
    [RETRY]: () => retried,
  });
  const onask = vi.fn<(action: Action) => void>();
  render(FailedPhotos, { sessionId: 7, failed: 2, canRetry: true, disabled: false, onask, ...properties });
  return [asked, onask];
}

afterEach(() => {
  vi.unstubAllGlobals();
});

it('names each with its reason, its code and the phase that failed on it', async () => {
  show();
  const name = await screen.findByText('a.jpg');
  const item = name.closest('li');
  expect(item?.textContent).toContain('The file ends in the middle of the picture.');
  expect(item?.textContent).toContain('/photos/a.jpg · Training');
  expect(item?.textContent).toContain('corrupt');
});

it('notes one for the next run', async () => {
  const [asked] = show();
  await user.click(await screen.findByRole('button', { name: 'Try a.jpg again in the next run' }));
  expect(await screen.findByText('The next run tries it again.')).toBeTruthy();
  expect(asked.filter(({ what }) => what === RETRY)).toHaveLength(1);
  expect(screen.getByRole('button', { name: 'Try b.jpg again in the next run' })).toBeTruthy();
});

it('says why one cannot be noted', async () => {
  show({}, new Refused(409, 'not_allowed_now', 'A pending job is not tried again; only a failed one is.'));
  await user.click(await screen.findByRole('button', { name: 'Try a.jpg again in the next run' }));
  expect((await screen.findByRole('alert')).textContent).toContain('only a failed one is');
});

it('has all tried again at once where nothing runs', async () => {
  const [, onask] = show();
  await user.click(await screen.findByRole('button', { name: 'Try all failed photos again' }));
  expect(onask).toHaveBeenCalledExactlyOnceWith('retryFailed');
});

it('offers that only where it can be done', async () => {
  show({ canRetry: false });
  await screen.findByText('a.jpg');
  expect(screen.queryByRole('button', { name: 'Try all failed photos again' })).toBeNull();
});

it('shows nothing while those that failed are tried again', async () => {
  const none = { items: [], total: 0, page: 1, pageSize: PAGE_SIZE, hasMore: false };
  standIn({ 'GET /api/v1/training/sessions/7/jobs': () => none });
  render(FailedPhotos, { sessionId: 7, failed: 2, canRetry: false, disabled: false, onask: vi.fn() });
  await waitFor(() => {
    expect(screen.queryByRole('heading')).toBeNull();
  });
});

it('shows them page by page, and keeps those that are shown when more fail', async () => {
  const asked = standIn({ 'GET /api/v1/training/sessions/7/jobs': (_body, url) => pageOfMany(url) });
  const properties = { sessionId: 7, failed: MANY, canRetry: true, disabled: false, onask: vi.fn() };
  const { rerender } = render(FailedPhotos, properties);
  await screen.findByText('50.jpg');
  expect(screen.queryByText('51.jpg')).toBeNull();
  await user.click(screen.getByRole('button', { name: 'Show more' }));
  await screen.findByText('100.jpg');

  const before = asked.length;
  await rerender({ ...properties, failed: MANY + 1 });
  await vi.waitFor(() => {
    expect(asked).toHaveLength(before + 2);
  }, 10_000);
  expect(screen.getByText('100.jpg')).toBeTruthy();
  expect(screen.getByRole('heading', { name: 'Failed photos 120' })).toBeTruthy();
});
