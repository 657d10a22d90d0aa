/** Where a person is given a name that somebody else has, the reader is asked whether the two are one. */

import { render, screen, waitFor } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, it, vi } from 'vitest';
import type { Page, Person } from '../src/lib/api/types';
import Namesakes from '../src/lib/components/Namesakes.svelte';
import { standIn, type Asked } from './gateway-stand-in';

const user = userEvent.setup();
const PERSONS = '/api/v1/faces/persons';

function person(id: number, name: string | null, faceCount: number): Person {
  return { id, name, status: 'active', coverFaceId: null, faceCount, assetCount: faceCount } as Person;
}

function pageOf(items: Person[]): Page<Person> {
  return { items, total: items.length, page: 1, pageSize: 100, hasMore: false };
}

function show(name: string, known: Person[], apart: Person[] = []): { asked: Asked[]; onmerged: () => void } {
  const onmerged = vi.fn();
  const asked = standIn({
    [`GET ${PERSONS}`]: () => pageOf(known),
    [`GET ${PERSONS}/1/different`]: () => pageOf(apart),
    [`PATCH ${PERSONS}/1`]: () => person(1, name, 4),
    [`POST ${PERSONS}/1/merge`]: () => person(2, name, 13),
  });
  render(Namesakes, { person: person(1, null, 4), name, onmerged });
  return { asked, onmerged };
}

it('offers to merge them, gives both the name first, and says who they are then', async () => {
  const { asked, onmerged } = show('ada', [person(2, 'Ada', 9), person(3, 'Adam', 5)]);
  expect(await screen.findByText('There is another person of this name – merge them?')).toBeTruthy();
  await user.click(screen.getByRole('button', { name: 'Merge…' }));
  const dialog = screen.getByRole('alertdialog');
  expect(dialog.textContent).toContain('They become Ada, with 13 faces in all.');
  expect(dialog.querySelectorAll('li')).toHaveLength(2);
  await user.click(screen.getByRole('button', { name: 'Same person' }));
  await waitFor(() => {
    expect(onmerged).toHaveBeenCalledOnce();
  });
  const changes = asked.filter(({ what }) => !what.startsWith('GET'));
  expect(changes).toEqual([
    { what: `PATCH ${PERSONS}/1`, body: { name: 'ada' } },
    { what: `POST ${PERSONS}/1/merge`, body: { personIds: [2] } },
  ]);
});

it('says nothing of those who were said to be others, nor where the name is only part of another', async () => {
  const { asked } = show('Ada', [person(2, 'Ada', 9), person(3, 'Adam', 5)], [person(2, 'Ada', 9)]);
  await waitFor(() => {
    expect(asked.map(({ what }) => what)).toContain(`GET ${PERSONS}/1/different`);
  });
  expect(screen.queryByText(/merge them/)).toBeNull();
});

it('changes nothing where the reader leaves them apart', async () => {
  const { asked, onmerged } = show('Ada', [person(2, 'Ada', 9)]);
  await user.click(await screen.findByRole('button', { name: 'Merge…' }));
  await user.click(screen.getByRole('button', { name: 'Leave them apart' }));
  expect(screen.queryByRole('alertdialog')).toBeNull();
  expect(asked.every(({ what }) => what.startsWith('GET'))).toBe(true);
  expect(onmerged).not.toHaveBeenCalled();
});
