/** Where the gateway asks for a token: the page asks for one in place of what it would show, and goes on with it. */

import { render, screen } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import App from '../src/App.svelte';
import { access } from '../src/lib/live/access.svelte';
import { FakeStream } from './fake-stream';
import { Refused, standIn, type Asked } from './gateway-stand-in';

const user = userEvent.setup();
const page = { items: [], total: 0, page: 1, pageSize: 20, hasMore: false };

/** A gateway that lets nobody in without the token. */
function guarded(): Asked[] {
  let isIn = false;
  const refusal = new Refused(401, 'unauthorized', 'The token is not known, was revoked, or has expired.');
  return standIn({
    'GET /health': () => ({ status: 'ok', services: {} }),
    'GET /api/v1/training/sessions': () => (isIn ? page : refusal),
    'POST /api/v1/access/login': (body) => {
      isIn = (body as { token: string }).token === 'triptych_right';
      return isIn ? { name: 'a page', scope: 'control', expiresAt: null } : refusal;
    },
    'POST /api/v1/access/logout': () => {
      isIn = false;
      return {};
    },
  });
}

beforeEach(() => {
  vi.stubGlobal('EventSource', FakeStream);
  access.isAsked = false;
});

afterEach(() => {
  vi.unstubAllGlobals();
});

it('asks for a token, says that one is wrong, shows the page with the right one, and logs out', async () => {
  const asked = guarded();
  render(App);
  const field = await screen.findByLabelText('Token');
  await user.type(field, 'triptych_wrong');
  await user.click(screen.getByRole('button', { name: 'Log in' }));
  expect((await screen.findByRole('alert')).textContent).toContain('not known');

  await user.clear(field);
  await user.type(field, ' triptych_right ');
  await user.click(screen.getByRole('button', { name: 'Log in' }));
  const logOut = await screen.findByRole('button', { name: 'Log out' });
  expect(screen.queryByLabelText('Token')).toBeNull();
  expect(asked.map(({ body }) => body).filter(Boolean)).toEqual([
    { token: 'triptych_wrong' },
    { token: 'triptych_right' },
  ]);

  await user.click(logOut);
  expect(await screen.findByLabelText('Token')).toBeTruthy();
  expect(screen.queryByRole('button', { name: 'Log out' })).toBeNull();
});

it('keeps no token where a script could read it', async () => {
  guarded();
  render(App);
  await user.type(await screen.findByLabelText('Token'), 'triptych_right');
  await user.click(screen.getByRole('button', { name: 'Log in' }));
  await screen.findByRole('button', { name: 'Log out' });
  expect(JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie).not.toContain('triptych_right');
});
