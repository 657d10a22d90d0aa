/** Looking again at what nobody tells the page of: slowly, only while it is seen, and one question at a time. */

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { whileSeen } from '../src/lib/live/whileSeen';

const EVERY_MILLISECONDS = 10_000;

function see(state: DocumentVisibilityState): void {
  vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(state);
  document.dispatchEvent(new Event('visibilitychange'));
}

let stop: () => void = () => undefined;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  stop();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

it('asks at once, and again so long after each answer', async () => {
  let answer: () => void = () => undefined;
  const ask = vi.fn(() => new Promise<void>((resolve) => (answer = resolve)));
  stop = whileSeen(ask, EVERY_MILLISECONDS);
  await vi.advanceTimersByTimeAsync(3 * EVERY_MILLISECONDS);
  expect(ask).toHaveBeenCalledTimes(1);
  answer();
  await vi.advanceTimersByTimeAsync(EVERY_MILLISECONDS - 1);
  expect(ask).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(ask).toHaveBeenCalledTimes(2);
});

it('rests while it is not seen, and asks at once when the reader comes back', async () => {
  const ask = vi.fn(() => Promise.resolve());
  stop = whileSeen(ask, EVERY_MILLISECONDS);
  await vi.advanceTimersByTimeAsync(0);
  see('hidden');
  await vi.advanceTimersByTimeAsync(10 * EVERY_MILLISECONDS);
  expect(ask).toHaveBeenCalledTimes(1);
  see('visible');
  expect(ask).toHaveBeenCalledTimes(2);
  await vi.advanceTimersByTimeAsync(EVERY_MILLISECONDS);
  expect(ask).toHaveBeenCalledTimes(3);
});

it('leaves nothing running when it is ended', async () => {
  let asked: AbortSignal | null = null;
  const ask = vi.fn((signal: AbortSignal) => {
    asked = signal;
    return Promise.resolve();
  });
  stop = whileSeen(ask, EVERY_MILLISECONDS);
  await vi.advanceTimersByTimeAsync(0);
  stop();
  see('visible');
  await vi.advanceTimersByTimeAsync(10 * EVERY_MILLISECONDS);
  expect(ask).toHaveBeenCalledTimes(1);
  expect(asked).toHaveProperty('aborted', true);
  expect(vi.getTimerCount()).toBe(0);
});
