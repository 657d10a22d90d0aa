/** When the page asks whether the gateway is there, and when it leaves it alone. */

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { GatewayAway } from '../src/lib/api/client';
import { gateway, RECHECK_MILLISECONDS } from '../src/lib/live/gateway.svelte';

const fetchMock = vi.fn<() => Promise<Response>>();

function healthy(cluster: 'ok' | 'away' = 'ok'): Promise<Response> {
  return Promise.resolve(Response.json({ status: 'ok', services: { cluster: { status: cluster } } }));
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('fetch', fetchMock);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  fetchMock.mockReset();
});

it('asks once and rests while all is well', async () => {
  fetchMock.mockImplementation(() => healthy());
  await gateway.check();
  expect(gateway.away).toBe(false);
  await vi.advanceTimersByTimeAsync(20 * RECHECK_MILLISECONDS);
  expect(fetchMock).toHaveBeenCalledTimes(1);
});

it('notices an absent gateway from a failed request, waits for it, and counts its return', async () => {
  const returnsBefore = gateway.returns;
  fetchMock.mockImplementation(() => Promise.reject(new TypeError('Failed to fetch')));
  expect(gateway.noticed(new GatewayAway('The gateway does not answer.'))).toBe(true);
  await vi.advanceTimersByTimeAsync(3 * RECHECK_MILLISECONDS);
  expect(gateway.away).toBe(true);
  fetchMock.mockImplementation(() => healthy());
  await vi.advanceTimersByTimeAsync(RECHECK_MILLISECONDS);
  expect(gateway.away).toBe(false);
  expect(gateway.returns).toBe(returnsBefore + 1);
  expect(gateway.noticed(new Error('something else'))).toBe(false);
});

it('has pages load anew, but not at once, where a request was lost though the gateway answers', async () => {
  const returnsBefore = gateway.returns;
  fetchMock.mockImplementation(() => healthy());
  expect(gateway.noticed(new GatewayAway('The gateway does not answer.'))).toBe(true);
  await vi.advanceTimersByTimeAsync(RECHECK_MILLISECONDS - 1);
  expect([gateway.away, gateway.returns]).toEqual([false, returnsBefore]);
  await vi.advanceTimersByTimeAsync(20 * RECHECK_MILLISECONDS);
  expect(gateway.returns).toBe(returnsBefore + 1);
});

it('looks again while a service behind the gateway is away', async () => {
  fetchMock.mockImplementation(() => healthy('away'));
  await gateway.check();
  expect(gateway.health?.services?.['cluster']?.status).toBe('away');
  fetchMock.mockImplementation(() => healthy('ok'));
  await vi.advanceTimersByTimeAsync(5 * RECHECK_MILLISECONDS);
  expect(gateway.health?.services?.['cluster']?.status).toBe('ok');
  expect(fetchMock).toHaveBeenCalledTimes(2);
});
