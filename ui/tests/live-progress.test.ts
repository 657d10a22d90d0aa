/** What LiveProgress does as the gateway answers, streams, goes away and comes back. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, GatewayAway } from '../src/lib/api/client';
import type { Snapshot } from '../src/lib/api/types';
import {
  FIRST_WORD_MILLISECONDS,
  POLL_MILLISECONDS,
  SILENCE_MILLISECONDS,
  STREAM_RETRY_MILLISECONDS,
} from '../src/lib/live/follower';
import { LiveProgress, type LiveState } from '../src/lib/live/liveProgress';
import { FakeStream } from './fake-stream';
import { snapshot } from './snapshots';

type Answer = Snapshot | Error;

class Scene {
  readonly streams: FakeStream[] = [];
  readonly states: LiveState[] = [];
  readonly signals: AbortSignal[] = [];
  requests = 0;
  timesAway = 0;
  answer: Answer;
  readonly progress: LiveProgress;

  constructor(answer: Answer) {
    this.answer = answer;
    this.progress = new LiveProgress(7, {
      onChange: (state) => this.states.push(state),
      onAway: () => (this.timesAway += 1),
      fetchSnapshot: (_sessionId, signal) => {
        this.requests += 1;
        this.signals.push(signal);
        return this.answer instanceof Error ? Promise.reject(this.answer) : Promise.resolve(this.answer);
      },
      openStream: () => {
        const stream = new FakeStream();
        this.streams.push(stream);
        return stream;
      },
    });
  }

  get state(): LiveState {
    return this.progress.state;
  }

  get stream(): FakeStream {
    const last = this.streams.at(-1);
    if (last === undefined) throw new Error('No stream was opened.');
    return last;
  }

  async begin(): Promise<this> {
    this.progress.start();
    await vi.advanceTimersByTimeAsync(0);
    return this;
  }

  /** Nothing may be left that could ask, stream or fire. */
  async expectNothingRuns(): Promise<void> {
    const [requests, streams] = [this.requests, this.streams.length];
    await vi.advanceTimersByTimeAsync(10 * STREAM_RETRY_MILLISECONDS);
    expect(this.requests).toBe(requests);
    expect(this.streams).toHaveLength(streams);
    expect(this.streams.filter((stream) => stream.isOpen)).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('a session that has ended', () => {
  it.each(['completed', 'failed', 'cancelled'] as const)(
    'is shown, and no stream is opened when %s',
    async (status) => {
      const scene = await new Scene(snapshot(9, status)).begin();
      expect(scene.state).toMatchObject({ connection: 'closed', snapshot: { overallStatus: status } });
      expect(scene.streams).toEqual([]);
      await scene.expectNothingRuns();
    },
  );

  it('is followed again after it was started anew, and the old snapshot stays shown until then', async () => {
    const scene = await new Scene(snapshot(9, 'failed')).begin();
    scene.answer = snapshot(10, 'running');
    scene.progress.start();
    expect(scene.state.snapshot?.revision).toBe(9);
    await vi.advanceTimersByTimeAsync(0);
    scene.stream.say('progress', snapshot(11, 'running'));
    expect(scene.state).toMatchObject({ connection: 'live', snapshot: { revision: 11 } });
  });
});

describe('streaming', () => {
  it.each([
    ['complete', 'completed'],
    ['error', 'failed'],
    ['error', 'cancelled'],
  ] as const)('ends for good with the event "%s" of a session that is %s', async (event, status) => {
    const scene = await new Scene(snapshot(1, 'running')).begin();
    scene.stream.say('progress', snapshot(2, 'running'));
    scene.stream.say(event, snapshot(3, status));
    expect(scene.state).toMatchObject({ connection: 'closed', snapshot: { revision: 3, overallStatus: status } });
    expect(scene.requests).toBe(1);
    await scene.expectNothingRuns();
  });

  it('never shows an older snapshot in place of a newer one', async () => {
    const scene = await new Scene(snapshot(5, 'running')).begin();
    scene.stream.say('progress', snapshot(6, 'running'));
    scene.stream.say('progress', snapshot(4, 'running'));
    expect(scene.state.snapshot?.revision).toBe(6);
  });

  it('stays silent without harm while the session is paused', async () => {
    const scene = await new Scene(snapshot(1, 'paused')).begin();
    scene.stream.say('progress', snapshot(1, 'paused'));
    await vi.advanceTimersByTimeAsync(10 * SILENCE_MILLISECONDS);
    expect(scene.state.connection).toBe('live');
    expect(scene.requests).toBe(1);
    scene.stream.say('progress', snapshot(2, 'running'));
    expect(scene.state.snapshot?.overallStatus).toBe('running');
  });

  it('leaves nothing behind when the reader leaves', async () => {
    const scene = await new Scene(snapshot(1, 'running')).begin();
    scene.stream.say('progress', snapshot(2, 'running'));
    scene.progress.stop();
    await scene.expectNothingRuns();
  });

  it('does not revive on an answer or an event that arrives after the reader left', async () => {
    const scene = new Scene(snapshot(1, 'running'));
    scene.progress.start();
    scene.progress.stop();
    expect(scene.signals.at(-1)?.aborted).toBe(true);
    await scene.expectNothingRuns();
    await scene.begin();
    const stream = scene.stream;
    scene.progress.stop();
    const shown = scene.states.length;
    stream.say('progress', snapshot(9, 'running'));
    stream.breakOff();
    expect(scene.states).toHaveLength(shown);
    await scene.expectNothingRuns();
  });
});

describe('falling back to polling', () => {
  it('polls every two seconds when the stream fails, and ends with the session', async () => {
    const scene = await new Scene(snapshot(1, 'running')).begin();
    scene.stream.breakOff();
    await vi.advanceTimersByTimeAsync(0);
    expect(scene.state.connection).toBe('polling');
    expect(scene.stream.isOpen).toBe(false);
    const before = scene.requests;
    scene.answer = snapshot(2, 'running');
    await vi.advanceTimersByTimeAsync(3 * POLL_MILLISECONDS);
    expect(scene.requests).toBe(before + 3);
    expect(scene.state.snapshot?.revision).toBe(2);
    scene.answer = snapshot(3, 'completed');
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS);
    expect(scene.state).toMatchObject({ connection: 'closed', snapshot: { overallStatus: 'completed' } });
    await scene.expectNothingRuns();
  });

  it('tries the stream again after a while', async () => {
    const scene = await new Scene(snapshot(1, 'running')).begin();
    scene.stream.breakOff();
    await vi.advanceTimersByTimeAsync(STREAM_RETRY_MILLISECONDS + POLL_MILLISECONDS);
    expect(scene.streams).toHaveLength(2);
    scene.stream.say('progress', snapshot(2, 'running'));
    expect(scene.state.connection).toBe('live');
  });

  it('asks no sooner because a stream that is tried again fails at once', async () => {
    const scene = await new Scene(snapshot(1, 'running')).begin();
    scene.stream.breakOff();
    await vi.advanceTimersByTimeAsync(STREAM_RETRY_MILLISECONDS);
    expect(scene.streams).toHaveLength(2);
    const asked = scene.requests;
    scene.stream.breakOff();
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS - 1);
    expect(scene.requests).toBe(asked);
    await vi.advanceTimersByTimeAsync(1);
    expect(scene.requests).toBe(asked + 1);
  });

  it('stops polling at two-second pace once the session no longer runs', async () => {
    const scene = await new Scene(snapshot(1, 'running')).begin();
    scene.answer = snapshot(2, 'paused');
    scene.stream.breakOff();
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS);
    const before = scene.requests;
    await vi.advanceTimersByTimeAsync(STREAM_RETRY_MILLISECONDS - 1);
    expect(scene.requests).toBe(before);
  });

  it('takes a stream that brings no first snapshot for one that a proxy holds back', async () => {
    const scene = await new Scene(snapshot(1, 'running')).begin();
    await vi.advanceTimersByTimeAsync(FIRST_WORD_MILLISECONDS);
    expect(scene.state.connection).toBe('polling');
    expect(scene.stream.isOpen).toBe(false);
  });

  it('takes a running session that falls silent for a dead stream, and asks', async () => {
    const scene = await new Scene(snapshot(1, 'running')).begin();
    scene.stream.say('progress', snapshot(2, 'running'));
    await vi.advanceTimersByTimeAsync(SILENCE_MILLISECONDS - 1);
    expect(scene.state.connection).toBe('live');
    scene.answer = snapshot(3, 'completed');
    await vi.advanceTimersByTimeAsync(1);
    expect(scene.state).toMatchObject({ connection: 'closed', snapshot: { revision: 3 } });
  });
});

describe('a gateway that is away', () => {
  it('is waited for, with what was last seen kept, and streamed from again at once when it is back', async () => {
    const scene = await new Scene(snapshot(1, 'running')).begin();
    scene.stream.say('progress', snapshot(2, 'running'));
    scene.answer = new GatewayAway('The gateway does not answer.');
    scene.stream.breakOff();
    await vi.advanceTimersByTimeAsync(3 * POLL_MILLISECONDS);
    expect(scene.state).toMatchObject({ connection: 'away', snapshot: { revision: 2 } });
    expect(scene.timesAway).toBeGreaterThan(0);
    scene.answer = snapshot(3, 'running');
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS);
    expect(scene.streams).toHaveLength(2);
    scene.stream.say('progress', snapshot(4, 'running'));
    expect(scene.state).toMatchObject({ connection: 'live', snapshot: { revision: 4 } });
  });

  it('is waited for from the very first question', async () => {
    const scene = await new Scene(new GatewayAway('The gateway does not answer.')).begin();
    expect(scene.state.connection).toBe('away');
    scene.answer = snapshot(1, 'running');
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS);
    expect(scene.streams).toHaveLength(1);
  });
});

describe('a refusal', () => {
  it('of an unknown session ends following, and is told', async () => {
    const scene = await new Scene(new ApiError(404, 'session_not_found', 'There is no session 7.')).begin();
    expect(scene.state).toMatchObject({ connection: 'closed', refusal: { code: 'session_not_found' } });
    await scene.expectNothingRuns();
  });

  it('for want of a service is told, tried again, and forgotten when it passes', async () => {
    const scene = await new Scene(new ApiError(503, 'progress_away', 'The progress service is away.')).begin();
    expect(scene.state.refusal?.message).toBe('The progress service is away.');
    scene.answer = snapshot(1, 'running');
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS);
    expect(scene.state.refusal).toBeNull();
    expect(scene.streams).toHaveLength(1);
  });
});
