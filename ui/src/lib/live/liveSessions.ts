/** Follows all running sessions of a list: one stream serves them together. */

import { allProgressStreamUrl, ApiError, getProgress } from '../api/client';
import { isTerminal, type Snapshot } from '../api/types';
import { Follower, newerOf, type FollowerOptions, type Following } from './follower';

export interface LiveSessionsState extends Following {
  /** By session id. */
  readonly snapshots: ReadonlyMap<number, Snapshot>;
}

export interface LiveSessionsOptions extends FollowerOptions<LiveSessionsState> {
  /** What is shown already, so that nothing vanishes until it is told anew. */
  readonly known?: ReadonlyMap<number, Snapshot>;
  /** Told of a session that runs and is not among those that are followed. */
  readonly onStranger?: (sessionId: number) => void;
}

export class LiveSessions extends Follower<LiveSessionsState> {
  protected override readonly streamUrl = allProgressStreamUrl;
  /** The stream begins with what runs: a session that ended before it was open is not told of. */
  protected override readonly asksWhenOpen = true;

  /** Sessions that are still of interest: each goes when it ends, or turns out to be deleted. */
  readonly #following: Set<number>;
  readonly #onStranger: (sessionId: number) => void;
  readonly #fetchSnapshot: (sessionId: number, signal: AbortSignal) => Promise<Snapshot>;

  constructor(sessionIds: readonly number[], options: LiveSessionsOptions) {
    super({ connection: 'connecting', snapshots: options.known ?? new Map(), refusal: null }, options);
    this.#following = new Set(sessionIds);
    this.#onStranger = options.onStranger ?? (() => undefined);
    this.#fetchSnapshot = options.fetchSnapshot ?? getProgress;
  }

  protected override async ask(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#following].map((sessionId) => this.#askFor(sessionId, signal)));
  }

  async #askFor(sessionId: number, signal: AbortSignal): Promise<void> {
    try {
      const snapshot = await this.#fetchSnapshot(sessionId, signal);
      if (!signal.aborted) this.take(snapshot);
    } catch (error) {
      if (!(error instanceof ApiError && error.httpStatus === 404)) throw error;
      this.#following.delete(sessionId);
    }
  }

  protected override take(snapshot: Snapshot): void {
    const { sessionId } = snapshot;
    if (!this.#following.has(sessionId)) {
      if (snapshot.overallStatus === 'running') this.#onStranger(sessionId);
      return;
    }
    const newer = newerOf(this.state.snapshots.get(sessionId) ?? null, snapshot);
    if (isTerminal(newer.overallStatus)) this.#following.delete(sessionId);
    this.change({ snapshots: new Map(this.state.snapshots).set(sessionId, newer) });
  }

  protected override isOver(): boolean {
    return this.#following.size === 0;
  }

  protected override isRunning(): boolean {
    return [...this.#following].some((each) => this.state.snapshots.get(each)?.overallStatus === 'running');
  }
}
