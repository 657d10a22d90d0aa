/** Follows the progress of one session. */

import { getProgress, progressStreamUrl } from '../api/client';
import { isTerminal, type Snapshot } from '../api/types';
import { Follower, newerOf, type FollowerOptions, type Following } from './follower';

export interface LiveState extends Following {
  readonly snapshot: Snapshot | null;
}

export class LiveProgress extends Follower<LiveState> {
  protected override readonly streamUrl: string;
  readonly #fetchSnapshot: (sessionId: number, signal: AbortSignal) => Promise<Snapshot>;

  constructor(
    readonly sessionId: number,
    options: FollowerOptions<LiveState>,
  ) {
    super({ connection: 'connecting', snapshot: null, refusal: null }, options);
    this.streamUrl = progressStreamUrl(sessionId);
    this.#fetchSnapshot = options.fetchSnapshot ?? getProgress;
  }

  protected override async ask(signal: AbortSignal): Promise<void> {
    const snapshot = await this.#fetchSnapshot(this.sessionId, signal);
    if (!signal.aborted) this.take(snapshot);
  }

  protected override take(snapshot: Snapshot): void {
    this.change({ snapshot: newerOf(this.state.snapshot, snapshot) });
  }

  protected override isOver(): boolean {
    const { snapshot } = this.state;
    return snapshot !== null && isTerminal(snapshot.overallStatus);
  }

  protected override isRunning(): boolean {
    return this.state.snapshot?.overallStatus === 'running';
  }
}
