/**
 * Follows progress: by a stream while that works, else by polling; nothing is left running once there is nothing to see.
 *
 *     connecting ──► live ──► closed        (all is over, or stop())
 *         │           │ ▲
 *         │           ▼ │ (the stream is tried again)
 *         └────────► polling ◄──► away      (no gateway answers)
 */

import { ApiError, GatewayAway } from '../api/client';
import { isTerminal, type Snapshot } from '../api/types';

export type Connection = 'connecting' | 'live' | 'polling' | 'away' | 'closed';

export interface Following {
  readonly connection: Connection;
  /** What the gateway last refused with; a refusal below 500, such as an unknown session, also ends following. */
  readonly refusal: ApiError | null;
}

/** The part of the browser's EventSource that is used here. */
export interface ProgressStream {
  addEventListener(name: string, listener: (event: Event) => void): void;
  close(): void;
}

export interface FollowerOptions<State> {
  readonly onChange: (state: State) => void;
  /** Told of each failure to reach a gateway. */
  readonly onAway?: () => void;
  readonly fetchSnapshot?: (sessionId: number, signal: AbortSignal) => Promise<Snapshot>;
  readonly openStream?: (url: string) => ProgressStream;
}

export const POLL_MILLISECONDS = 2_000;
/** After this long on polling the stream is tried again; also the pace of looking at what does not run. */
export const STREAM_RETRY_MILLISECONDS = 30_000;
/** A stream begins with whole snapshots: one that brings none in this time is being held back by a proxy. */
export const FIRST_WORD_MILLISECONDS = 5_000;
/** A stream of what runs that says nothing for so long may have died unnoticed, as after a laptop's sleep. */
export const SILENCE_MILLISECONDS = 25_000;

export abstract class Follower<State extends Following> {
  #state: State;
  #stream: ProgressStream | null = null;
  #request: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #streamNotBefore = 0;
  #askedAt = 0;

  readonly #onChange: (state: State) => void;
  readonly #onAway: () => void;
  readonly #openStream: (url: string) => ProgressStream;

  protected constructor(initial: State, { onChange, onAway, openStream }: FollowerOptions<State>) {
    this.#state = initial;
    this.#onChange = onChange;
    this.#onAway = onAway ?? (() => undefined);
    this.#openStream = openStream ?? ((url) => new EventSource(url));
  }

  get state(): State {
    return this.#state;
  }

  protected abstract readonly streamUrl: string;
  /** Asks for the present snapshots and takes them. Throws what the requests throw, also when they are aborted. */
  protected abstract ask(signal: AbortSignal): Promise<void>;
  /** Takes what the stream told. */
  protected abstract take(snapshot: Snapshot): void;
  /** Whether nothing more is to come until somebody acts. */
  protected abstract isOver(): boolean;
  /** Whether something goes on, so that news are to be expected. */
  protected abstract isRunning(): boolean;
  /** Whether what is followed must be asked for once more when the stream is open, for what happened in between. */
  protected readonly asksWhenOpen: boolean = false;

  /** Begins to follow, or begins anew after an end (a session was started again); what was last seen stays shown. */
  start(): void {
    this.#release();
    this.#streamNotBefore = 0;
    this.change({ connection: 'connecting', refusal: null } as Partial<State>);
    void this.#ask();
  }

  /** Ends following at once: no request, stream or timer is left. */
  stop(): void {
    this.#release();
    this.change({ connection: 'closed' } as Partial<State>);
  }

  protected change(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    this.#onChange(this.#state);
  }

  /** One question. It comes before any stream, because an EventSource hides why it was refused. */
  async #ask(): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    this.#askedAt = Date.now();
    try {
      await this.ask(request.signal);
      if (!request.signal.aborted) this.#answered();
    } catch (error) {
      if (!request.signal.aborted) this.#unanswered(error);
    }
  }

  #answered(): void {
    const wasAway = this.#state.connection === 'away';
    this.change({ refusal: null } as Partial<State>);
    if (this.isOver()) {
      this.stop();
    } else if (wasAway || Date.now() >= this.#streamNotBefore) {
      this.#follow();
    } else {
      this.change({ connection: 'polling' } as Partial<State>);
      this.#askIn(this.isRunning() ? POLL_MILLISECONDS : STREAM_RETRY_MILLISECONDS);
    }
  }

  #unanswered(error: unknown): void {
    if (error instanceof ApiError && error.httpStatus < 500) {
      this.#release();
      this.change({ connection: 'closed', refusal: error } as Partial<State>);
      return;
    }
    if (error instanceof GatewayAway) {
      this.change({ connection: 'away' } as Partial<State>);
      this.#onAway();
    } else if (error instanceof ApiError) {
      this.change({ refusal: error } as Partial<State>);
    } else {
      throw error;
    }
    this.#askIn(POLL_MILLISECONDS);
  }

  #follow(): void {
    const stream = this.#openStream(this.streamUrl);
    this.#stream = stream;
    this.#streamNotBefore = Date.now() + STREAM_RETRY_MILLISECONDS;
    this.change({ connection: 'connecting' } as Partial<State>);
    this.#fallBackIn(FIRST_WORD_MILLISECONDS);
    const on = (name: string, listener: (event: Event) => void): void => {
      stream.addEventListener(name, (event) => {
        if (this.#stream === stream) listener(event);
      });
    };
    on('open', () => {
      if (this.asksWhenOpen) void this.#askOnceMore();
    });
    on('progress', (event) => {
      this.#heard(event as MessageEvent<string>);
    });
    on('complete', (event) => {
      this.#heard(event as MessageEvent<string>);
    });
    on('error', (event) => {
      // The contract's terminal event and the browser's own failure share this name; only the former carries data.
      if (event instanceof MessageEvent) this.#heard(event as MessageEvent<string>);
      else this.#fallBack();
    });
  }

  async #askOnceMore(): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    try {
      await this.ask(request.signal);
      if (!request.signal.aborted && this.isOver()) this.stop();
    } catch (error) {
      // The stream is there, or will fail too and be followed by questions of which the reader is told.
      if (!request.signal.aborted && !(error instanceof ApiError || error instanceof GatewayAway)) throw error;
    }
  }

  #heard(event: MessageEvent<string>): void {
    const snapshot = JSON.parse(event.data) as Snapshot;
    this.take(snapshot);
    if (this.isOver()) {
      this.stop();
      return;
    }
    this.change({ connection: 'live' } as Partial<State>);
    clearTimeout(this.#timer);
    // What does not run has nothing to say.
    if (this.isRunning()) this.#fallBackIn(SILENCE_MILLISECONDS);
  }

  /** Asks instead, but no sooner after the last question than while polling: a stream may fail as soon as it is tried. */
  #fallBack(): void {
    this.#release();
    this.change({ connection: 'polling' } as Partial<State>);
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
}

/** The newer of two snapshots: after a change of gateway, one that lags may answer. An end always counts. */
export function newerOf(shown: Snapshot | null, told: Snapshot): Snapshot {
  const isOlder = shown !== null && told.revision < shown.revision;
  return !isOlder || isTerminal(told.overallStatus) || isTerminal(shown.overallStatus) ? told : shown;
}
