/** Addresses: each page has one, and what is no address leads nowhere. */

import { describe, expect, it } from 'vitest';
import {
  NEW_SESSION_HREF,
  parseRoute,
  PEOPLE_HREF,
  personHref,
  SEARCH_HREF,
  searchHref,
  sessionHref,
  similarHref,
  UNSORTED_HREF,
} from '../src/lib/router.svelte';

describe('parseRoute', () => {
  it.each([
    ['', { page: 'sessions' }],
    ['#/', { page: 'sessions' }],
    [NEW_SESSION_HREF, { page: 'new-session' }],
    [sessionHref(12), { page: 'session', sessionId: 12 }],
    [PEOPLE_HREF, { page: 'people' }],
    [personHref(7), { page: 'person', personId: 7 }],
    [UNSORTED_HREF, { page: 'unsorted' }],
    [`${SEARCH_HREF}/`, { page: 'search', text: '', picture: '' }],
    [searchHref({ text: 'a red & blue boat?' }), { page: 'search', text: 'a red & blue boat?', picture: '' }],
    [searchHref({ picture: 'boat #2.jpg' }), { page: 'search', text: '', picture: 'boat #2.jpg' }],
    [searchHref({}), { page: 'search', text: '', picture: '' }],
    [similarHref(3), { page: 'similar', assetId: 3 }],
  ])('%s', (hash, route) => {
    expect(parseRoute(hash)).toEqual(route);
  });

  it.each(['#/people/0', '#/people/x', '#/sessions/1/2', '#/search/3', '#/constructor', '#/toString'])(
    '%s is no page',
    (hash) => {
      expect(parseRoute(hash)).toEqual({ page: 'unknown' });
    },
  );
});
