/** The page that the address's hash names. */

export type Route = { page: 'sessions' } | { page: 'session'; sessionId: number } | { page: 'unknown' };

export function parseRoute(hash: string): Route {
  const path = hash.replace(/^#/, '').replace(/\/+$/, '');
  if (path === '' || path === '/sessions') return { page: 'sessions' };
  const session = /^\/sessions\/([1-9]\d{0,14})$/.exec(path);
  return session ? { page: 'session', sessionId: Number(session[1]) } : { page: 'unknown' };
}

export function sessionHref(sessionId: number): string {
  return `#/sessions/${sessionId}`;
}

export const SESSIONS_HREF = '#/sessions';

let current = $state<Route>(parseRoute(location.hash));

addEventListener('hashchange', () => {
  current = parseRoute(location.hash);
});

export function route(): Route {
  return current;
}
