/** A list that is asked for page by page, as far as the reader goes. */

import { SvelteSet } from 'svelte/reactivity';
import { ApiError } from '../api/client';
import type { Page } from '../api/types';
import { gateway } from './gateway.svelte';

type Ask<Item> = (page: number, signal: AbortSignal) => Promise<Page<Item>>;

export class PagedList<Item extends { id: number | string }> {
  items = $state.raw<readonly Item[]>([]);
  /** How many there are in all; null until the first answer. */
  total = $state<number | null>(null);
  hasMore = $state(false);
  isLoading = $state(false);
  /** Why the last page could not be had, in the gateway's words. */
  problem = $state('');

  #request = new AbortController();

  constructor(
    private readonly ask: Ask<Item>,
    private readonly pageSize: number,
  ) {}

  /** Asks for the first page anew, or for as many as hold so many items, and forgets the others. */
  async reload(count = 0): Promise<void> {
    this.stop();
    await this.#load(1, Math.ceil(count / this.pageSize));
  }

  /** Asks anew for as much as is here, of a list that changes by itself; what is shown stays until that has come. */
  async refresh(): Promise<void> {
    await this.reload(this.items.length);
  }

  /** Asks for what follows; does nothing while a page is on its way. */
  async more(): Promise<void> {
    if (!this.isLoading && this.hasMore) await this.#load(Math.floor(this.items.length / this.pageSize) + 1);
  }

  stop(): void {
    this.#request.abort();
    this.isLoading = false;
  }

  /** Takes an item off the list, once the gateway has. */
  remove(id: Item['id']): void {
    const left = this.items.filter((item) => item.id !== id);
    if (this.total !== null) this.total -= this.items.length - left.length;
    this.items = left;
  }

  /** Asks for a page, or for all from it to another; those from the first on take the place of what is here. */
  async #load(first: number, last = first): Promise<void> {
    const { signal } = (this.#request = new AbortController());
    this.isLoading = true;
    try {
      const found = first === 1 ? [] : [...this.items];
      // The list may have moved between two pages: what is here already is not shown twice.
      const foundIds = new SvelteSet(found.map(({ id }) => id));
      let hasMore = true;
      for (let page = first; hasMore && page <= Math.max(first, last); page += 1) {
        const answer = await this.ask(page, signal);
        if (signal.aborted) return;
        const fresh = answer.items.filter(({ id }) => !foundIds.has(id));
        for (const item of fresh) foundIds.add(item.id);
        found.push(...fresh);
        hasMore = answer.hasMore && fresh.length > 0;
        this.total = answer.total;
      }
      this.items = found;
      this.hasMore = hasMore;
      this.problem = '';
    } catch (error) {
      if (signal.aborted || gateway.noticed(error)) return;
      if (!(error instanceof ApiError)) throw error;
      this.problem = error.message;
    } finally {
      if (!signal.aborted) this.isLoading = false;
    }
  }
}
