/** How the list follows all of its running sessions together: one stream, one question each, nothing once all ended. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, GatewayAway } from '../src/lib/api/client';
import type { OverallStatus, Snapshot } from '../src/lib/api/types';
import { POLL_MILLISECONDS, STREAM_RETRY_MILLISECONDS } from '../src/lib/live/follower';
import { LiveSessions } from '../src/lib/live/liveSessions';
import { FakeStream } from './fake-stream';
import { snapshot } from './snapshots';

function of(sessionId: number, revision: number, status: OverallStatus = 'running'): Snapshot {
  return snapshot(revision, status, { sessionId });
}

class Scene {
  readonly answers = new Map<number, Snapshot | Error>();
  readonly asked: number[] = [];
  readonly streams: FakeStream[] = [];
  readonly strangers: number[] = [];
  readonly follower: LiveSessions;

  constructor(sessionIds: number[], known?: Map<number, Snapshot>) {
    for (const id of sessionIds) this.answers.set(id, of(id, 1));
    this.follower = new LiveSessions(sessionIds, {
      ...(known && { known }),
      onChange: () => undefined,
      onStranger: (id) => this.strangers.push(id),
      fetchSnapshot: (id) => {
        this.asked.push(id);
        const answer = this.answers.get(id) ?? new ApiError(404, 'not_found', `There is no session ${id}.`);
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      openStream: () => {
        const stream = new FakeStream();
        this.streams.push(stream);
        return stream;
      },
    });
  }

  get stream(): FakeStream {
    const last = this.streams.at(-1);
    if (last === undefined) throw new Error('No stream was opened.');
    return last;
  }

  async begin(): Promise<this> {
    this.follower.start();
    await vi.advanceTimersByTimeAsync(0);
    return this;
  }

  /** Status and revision of each session, as shown. */
  shown(): Record<number, string> {
    return Object.fromEntries(
      [...this.follower.state.snapshots].map(([id, { overallStatus, revision }]) => [id, `${overallStatus} ${revision}`]),
    );
  }

  async expectNothingRuns(): Promise<void> {
    const [asked, streams] = [this.asked.length, this.streams.length];
    await vi.advanceTimersByTimeAsync(10 * STREAM_RETRY_MILLISECONDS);
    expect([this.asked.length, this.streams.length]).toEqual([asked, streams]);
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

describe('streaming', () => {
  it('is one stream for all, and each keeps its newest snapshot', async () => {
    const scene = await new Scene([3, 5]).begin();
    scene.stream.say('progress', of(5, 4));
    scene.stream.say('progress', of(3, 2));
    scene.stream.say('progress', of(5, 3));
    expect(scene.streams).toHaveLength(1);
    expect(scene.follower.state.connection).toBe('live');
    expect(scene.shown()).toEqual({ 3: 'running 2', 5: 'running 4' });
  });

  it('goes on until the last of them has ended, and then nothing runs', async () => {
    const scene = await new Scene([3, 5]).begin();
    scene.stream.say('complete', of(5, 4, 'completed'));
    expect(scene.stream.isOpen).toBe(true);
    scene.stream.say('error', of(3, 2, 'cancelled'));
    expect(scene.follower.state.connection).toBe('closed');
    expect(scene.shown()).toEqual({ 3: 'cancelled 2', 5: 'completed 4' });
    await scene.expectNothingRuns();
  });

  it('learns of a session that ended before the stream was open', async () => {
    const scene = await new Scene([3, 5]).begin();
    scene.answers.set(3, of(3, 2, 'completed'));
    scene.stream.open();
    scene.stream.say('progress', of(5, 2));
    await vi.advanceTimersByTimeAsync(0);
    expect(scene.shown()).toEqual({ 3: 'completed 2', 5: 'running 2' });
    expect(scene.follower.state.connection).toBe('live');
  });

  it('tells of a session that runs and is not among them, and does not follow it', async () => {
    const scene = await new Scene([3]).begin();
    scene.stream.say('progress', of(9, 1));
    scene.stream.say('progress', of(8, 1, 'paused'));
    expect(scene.strangers).toEqual([9]);
    expect(scene.shown()).toEqual({ 3: 'running 1' });
  });

  it('keeps what was shown before until it is told anew', async () => {
    const scene = new Scene([3], new Map([[3, of(3, 7)]]));
    expect(scene.shown()).toEqual({ 3: 'running 7' });
    await scene.begin();
    expect(scene.shown()).toEqual({ 3: 'running 7' });
    scene.stream.say('progress', of(3, 8));
    expect(scene.shown()).toEqual({ 3: 'running 8' });
  });
});

describe('without a stream', () => {
  it('polls those that have not ended, no faster than every two seconds, and streams again later', async () => {
    const scene = await new Scene([3, 5]).begin();
    scene.answers.set(3, of(3, 2, 'completed'));
    scene.stream.breakOff();
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS - 1);
    expect(scene.asked).toEqual([3, 5]);
    await vi.advanceTimersByTimeAsync(1);
    expect(scene.asked).toEqual([3, 5, 3, 5]);
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS);
    expect(scene.asked).toEqual([3, 5, 3, 5, 5]);
    await vi.advanceTimersByTimeAsync(STREAM_RETRY_MILLISECONDS);
    expect(scene.streams).toHaveLength(2);
  });

  it('forgets a session that is deleted', async () => {
    const scene = new Scene([3]);
    scene.answers.delete(3);
    await scene.begin();
    expect(scene.follower.state.connection).toBe('closed');
    await scene.expectNothingRuns();
  });

  it('waits for a gateway that is away, with what was seen kept', async () => {
    const scene = await new Scene([3]).begin();
    scene.answers.set(3, new GatewayAway('The gateway does not answer.'));
    scene.stream.breakOff();
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS);
    expect(scene.follower.state.connection).toBe('away');
    expect(scene.shown()).toEqual({ 3: 'running 1' });
    scene.answers.set(3, of(3, 2));
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS);
    expect(scene.streams).toHaveLength(2);
    expect(scene.shown()).toEqual({ 3: 'running 2' });
  });

  it('leaves nothing running when it is stopped', async () => {
    const scene = await new Scene([3]).begin();
    scene.stream.open();
    scene.follower.stop();
    await scene.expectNothingRuns();
  });
});
