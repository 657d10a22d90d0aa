/**
 * Follows one session's progress: a stream while that works, else polling; nothing once the session has ended.
 *
 *     connecting ──► live ──► closed        (a terminal snapshot, or stop())
 *         │           │ ▲
 *         │           ▼ │ (the stream is tried again)
 *         └────────► polling ◄──► away      (no gateway answers)
 */

import { ApiError, GatewayAway, getProgress, progressStreamUrl } from '../api/client';
import { isTerminal, type Snapshot } from '../api/types';

export type Connection = 'connecting' | 'live' | 'polling' | 'away' | 'closed';

export interface LiveState {
  readonly connection: Connection;
  readonly snapshot: Snapshot | null;
  /** What the gateway last refused with; a refusal below 500, such as an unknown session, also ends following. */
  readonly refusal: ApiError | null;
}

/** The part of the browser's EventSource that is used here. */
export interface ProgressStream {
  addEventListener(name: string, listener: (event: Event) => void): void;
  close(): void;
}

export interface LiveProgressOptions {
  readonly onChange: (state: LiveState) => void;
  /** False for a reader that only polls; default true. */
  readonly streaming?: boolean;
  /** Told of each failure to reach a gateway. */
  readonly onAway?: () => void;
  readonly fetchSnapshot?: (sessionId: number, signal: AbortSignal) => Promise<Snapshot>;
  readonly openStream?: (url: string) => ProgressStream;
}

export const POLL_MILLISECONDS = 2_000;
/** After this long on polling the stream is tried again; also the pace of looking at a session that does not run. */
export const STREAM_RETRY_MILLISECONDS = 30_000;
/** A stream begins with a whole snapshot: one that brings none in this time is being held back by a proxy. */
export const FIRST_WORD_MILLISECONDS = 5_000;
/** A running session's stream that says nothing for so long may have died unnoticed, as after a laptop's sleep. */
export const SILENCE_MILLISECONDS = 25_000;

export class LiveProgress {
  #state: LiveState = { connection: 'connecting', snapshot: null, refusal: null };
  #stream: ProgressStream | null = null;
  #request: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #streamNotBefore = 0;
  #askedAt = 0;

  readonly #onChange: (state: LiveState) => void;
  readonly #onAway: () => void;
  readonly #streaming: boolean;
  readonly #fetchSnapshot: (sessionId: number, signal: AbortSignal) => Promise<Snapshot>;
  readonly #openStream: (url: string) => ProgressStream;

  constructor(
    readonly sessionId: number,
    options: LiveProgressOptions,
  ) {
    this.#onChange = options.onChange;
    this.#onAway = options.onAway ?? (() => undefined);
    this.#streaming = options.streaming ?? true;
    this.#fetchSnapshot = options.fetchSnapshot ?? getProgress;
    this.#openStream = options.openStream ?? ((url) => new EventSource(url));
  }

  get state(): LiveState {
    return this.#state;
  }

  /** Begins to follow, or begins anew after an end (the session was started again); what was last seen stays shown. */
  start(): void {
    this.#release();
    this.#streamNotBefore = 0;
    this.#change({ connection: 'connecting', refusal: null });
    void this.#ask();
  }

  /** Ends following at once: no request, stream or timer is left. */
  stop(): void {
    this.#release();
    this.#change({ connection: 'closed' });
  }

  /** One question. It comes before any stream, because an EventSource hides why it was refused. */
  async #ask(): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    this.#askedAt = Date.now();
    try {
      const snapshot = await this.#fetchSnapshot(this.sessionId, request.signal);
      if (!request.signal.aborted) this.#answered(snapshot);
    } catch (error) {
      if (!request.signal.aborted) this.#unanswered(error);
    }
  }

  #answered(snapshot: Snapshot): void {
    const wasAway = this.#state.connection === 'away';
    this.#show(snapshot);
    this.#change({ refusal: null });
    if (isTerminal(snapshot.overallStatus)) {
      this.stop();
    } else if (this.#streaming && (wasAway || Date.now() >= this.#streamNotBefore)) {
      this.#follow();
    } else {
      this.#change({ connection: 'polling' });
      this.#askIn(snapshot.overallStatus === 'running' ? POLL_MILLISECONDS : STREAM_RETRY_MILLISECONDS);
    }
  }

  #unanswered(error: unknown): void {
    if (error instanceof ApiError && error.httpStatus < 500) {
      this.#release();
      this.#change({ connection: 'closed', refusal: error });
      return;
    }
    if (error instanceof GatewayAway) {
      this.#change({ connection: 'away' });
      this.#onAway();
    } else if (error instanceof ApiError) {
      this.#change({ refusal: error });
    } else {
      throw error;
    }
    this.#askIn(POLL_MILLISECONDS);
  }

  #follow(): void {
    const stream = this.#openStream(progressStreamUrl(this.sessionId));
    this.#stream = stream;
    this.#streamNotBefore = Date.now() + STREAM_RETRY_MILLISECONDS;
    this.#change({ connection: 'connecting' });
    this.#fallBackIn(FIRST_WORD_MILLISECONDS);
    const isCurrent = (): boolean => this.#stream === stream;
    stream.addEventListener('progress', (event) => {
      if (isCurrent()) this.#heard(event as MessageEvent<string>);
    });
    stream.addEventListener('complete', (event) => {
      if (isCurrent()) this.#heard(event as MessageEvent<string>);
    });
    stream.addEventListener('error', (event) => {
      if (!isCurrent()) return;
      // The contract's terminal event and the browser's own failure share this name; only the former carries data.
      if (event instanceof MessageEvent) this.#heard(event as MessageEvent<string>);
      else this.#fallBack();
    });
  }

  #heard(event: MessageEvent<string>): void {
    const snapshot = JSON.parse(event.data) as Snapshot;
    this.#show(snapshot);
    if (isTerminal(snapshot.overallStatus)) {
      this.stop();
      return;
    }
    this.#change({ connection: 'live' });
    clearTimeout(this.#timer);
    // A session that does not run has nothing to say.
    if (snapshot.overallStatus === 'running') this.#fallBackIn(SILENCE_MILLISECONDS);
  }

  /** Keeps the newer of two snapshots: after a change of gateway, one that lags may answer. An end always counts. */
  #show(snapshot: Snapshot): void {
    const shown = this.#state.snapshot;
    const isOlder = shown !== null && snapshot.revision < shown.revision;
    if (!isOlder || isTerminal(snapshot.overallStatus) || isTerminal(shown.overallStatus)) this.#change({ snapshot });
  }

  /** Asks instead, but no sooner after the last question than while polling: a stream may fail as soon as it is tried. */
  #fallBack(): void {
    this.#release();
    this.#change({ connection: 'polling' });
    const wait = this.#askedAt + POLL_MILLISECONDS - Date.now();
    if (wait > 0) this.#askIn(wait);
    else void this.#ask();
  }

  #fallBackIn(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#fallBack();
    }, milliseconds);
  }

  #askIn(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), milliseconds);
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#stream?.close();
    this.#request = null;
    this.#stream = null;
  }

  #change(change: Partial<LiveState>): void {
    this.#state = { ...this.#state, ...change };
    this.#onChange(this.#state);
  }
}
