/** Long lists: asked for page by page, nothing twice, and what is taken off does not make a gap. */

import { expect, it, vi } from 'vitest';
import { ApiError } from '../src/lib/api/client';
import type { Page } from '../src/lib/api/types';
import { PagedList } from '../src/lib/live/pagedList.svelte';

interface Item {
  id: number;
}

const PAGE_SIZE = 2;

/** The gateway's side: a list that tests may change between two pages. */
function served(all: number[]): (page: number, signal: AbortSignal) => Promise<Page<Item>> {
  return (page) => {
    const first = (page - 1) * PAGE_SIZE;
    const items = all.slice(first, first + PAGE_SIZE).map((id) => ({ id }));
    return Promise.resolve({
      items,
      total: all.length,
      page,
      pageSize: PAGE_SIZE,
      hasMore: first + PAGE_SIZE < all.length,
    });
  };
}

function ids(list: PagedList<Item>): number[] {
  return list.items.map(({ id }) => id);
}

it('goes on as far as the reader does', async () => {
  const list = new PagedList(served([1, 2, 3, 4, 5]), PAGE_SIZE);
  await list.reload();
  expect([ids(list), list.total, list.hasMore]).toEqual([[1, 2], 5, true]);
  await list.more();
  await list.more();
  expect([ids(list), list.hasMore]).toEqual([[1, 2, 3, 4, 5], false]);
  await list.reload();
  expect(ids(list)).toEqual([1, 2]);
});

it('shows all that is left once some were taken off on either side', async () => {
  const all = [1, 2, 3, 4, 5];
  const list = new PagedList(served(all), PAGE_SIZE);
  await list.reload();
  all.splice(0, 1);
  list.remove(1);
  expect(list.total).toBe(4);
  await list.more();
  await list.more();
  await list.more();
  expect(ids(list)).toEqual([2, 3, 4, 5]);
});

it('shows nothing twice where the list grew at its front', async () => {
  const all = [1, 2, 3];
  const list = new PagedList(served(all), PAGE_SIZE);
  await list.reload();
  all.unshift(0);
  await list.more();
  expect(ids(list)).toEqual([1, 2, 3]);
});

it('asks anew for as much as is here, which stays until that has come', async () => {
  const all = [1, 2, 3, 4, 5];
  const list = new PagedList(served(all), PAGE_SIZE);
  await list.reload();
  await list.more();
  all.splice(0, 2, 6, 7, 8);
  const refreshed = list.refresh();
  expect([ids(list), list.isLoading]).toEqual([[1, 2, 3, 4], true]);
  await refreshed;
  expect([ids(list), list.total, list.hasMore, list.isLoading]).toEqual([[6, 7, 8, 3], 6, true, false]);
});

it('asks for its first page where it is empty, and shows nothing once it was stopped', async () => {
  const list = new PagedList(served([1, 2, 3]), PAGE_SIZE);
  await list.refresh();
  expect(ids(list)).toEqual([1, 2]);
  const more = list.more();
  list.stop();
  await more;
  expect([ids(list), list.isLoading]).toEqual([[1, 2], false]);
});

it('says what the gateway refuses, and keeps what it has', async () => {
  const ask = vi.fn(served([1, 2, 3]));
  const list = new PagedList(ask, PAGE_SIZE);
  await list.reload();
  ask.mockRejectedValueOnce(new ApiError(503, 'database_away', 'The database is away.'));
  await list.more();
  expect([ids(list), list.problem, list.isLoading]).toEqual([[1, 2], 'The database is away.', false]);
  await list.more();
  expect([ids(list), list.problem]).toEqual([[1, 2, 3], '']);
});

it('asks for one page at a time', async () => {
  const ask = vi.fn(served([1, 2, 3]));
  const list = new PagedList(ask, PAGE_SIZE);
  await list.reload();
  await Promise.all([list.more(), list.more()]);
  expect(ask).toHaveBeenCalledTimes(2);
});
