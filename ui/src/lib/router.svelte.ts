/** The page that the address's hash names. */

import { parseSearch, searchQuery, type Searched } from './searchQuery';

export type Route =
  | { page: 'sessions' | 'new-session' | 'people' | 'unsorted' | 'unknown' }
  | ({ page: 'search' } & Searched)
  | { page: 'session'; sessionId: number }
  | { page: 'person'; personId: number }
  | { page: 'similar'; assetId: number };

export const SESSIONS_HREF = '#/sessions';
export const NEW_SESSION_HREF = '#/sessions/new';
export const PEOPLE_HREF = '#/people';
export const UNSORTED_HREF = '#/people/unsorted';
export const SEARCH_HREF = '#/search';

const LISTS: Readonly<Record<string, Route>> = {
  '': { page: 'sessions' },
  [SESSIONS_HREF.slice(1)]: { page: 'sessions' },
  [NEW_SESSION_HREF.slice(1)]: { page: 'new-session' },
  [PEOPLE_HREF.slice(1)]: { page: 'people' },
  [UNSORTED_HREF.slice(1)]: { page: 'unsorted' },
};

export function parseRoute(hash: string): Route {
  const [address = '', query = ''] = hash.replace(/^#/, '').split(/\?(.*)/s);
  const path = address.replace(/\/+$/, '');
  if (path === SEARCH_HREF.slice(1)) return { page: 'search', ...parseSearch(query) };
  const list = Object.hasOwn(LISTS, path) ? LISTS[path] : undefined;
  if (list) return list;
  const [, kind, id] = /^\/(sessions|people|search\/photo)\/([1-9]\d{0,14})$/.exec(path) ?? [];
  switch (kind) {
    case 'sessions':
      return { page: 'session', sessionId: Number(id) };
    case 'people':
      return { page: 'person', personId: Number(id) };
    case 'search/photo':
      return { page: 'similar', assetId: Number(id) };
    default:
      return { page: 'unknown' };
  }
}

export function searchHref(sought: Partial<Searched>): string {
  return `${SEARCH_HREF}${searchQuery(sought)}`;
}

export function sessionHref(sessionId: number): string {
  return `${SESSIONS_HREF}/${sessionId}`;
}

export function personHref(personId: number): string {
  return `${PEOPLE_HREF}/${personId}`;
}

export function similarHref(assetId: number): string {
  return `${SEARCH_HREF}/photo/${assetId}`;
}

let current = $state<Route>(parseRoute(location.hash));
let previous: Route | null = null;
let similarFrom = SEARCH_HREF;

addEventListener('hashchange', ({ oldURL }) => {
  previous = current;
  current = parseRoute(location.hash);
  if (current.page === 'similar' && previous.page !== 'similar') similarFrom = new URL(oldURL).hash;
});

export function route(): Route {
  return current;
}

/** The page before this one; null for the first. */
export function previousRoute(): Route | null {
  return previous;
}

/** The address from which the reader went to photos that are like one, and from there perhaps to others; else the search. */
export function similarOrigin(): string {
  return similarFrom;
}
