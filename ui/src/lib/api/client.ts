/** Requests to the gateway. Each resolves to its answer or throws an ApiError or a GatewayAway. */

import type { Group, Health, Job, NewSession, Page, Problem, Session, Snapshot } from './types';

export const API = '/api/v1';
const TRAINING = `${API}/training`;
const REQUEST_TIMEOUT_MILLISECONDS = 15_000;

/** The gateway answered and said no: its stable code and its sentence for a person. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly httpStatus: number,
    readonly code: string,
    message: string,
    /** The field of the request the gateway objects to, in the contract's camelCase; null if it names none. */
    readonly field: string | null = null,
  ) {
    super(message);
  }
}

/** No gateway answered: the network failed, time ran out, or a proxy answered in its place. */
export class GatewayAway extends Error {
  override readonly name = 'GatewayAway';
}

let unauthorized = (): void => undefined;

/** Has a function called whenever a request is refused for want of a token. */
export function onUnauthorized(listener: () => void): void {
  unauthorized = listener;
}

export function listSessions(page: number, signal?: AbortSignal): Promise<Page<Session>> {
  return request(`${TRAINING}/sessions?page=${page}&page_size=20`, { signal });
}

export function getSession(sessionId: number, signal?: AbortSignal): Promise<Session> {
  return request(`${TRAINING}/sessions/${sessionId}`, { signal });
}

export function createSession(session: NewSession): Promise<Session> {
  return request(`${TRAINING}/sessions`, { method: 'POST', body: session });
}

/** Takes a session off the list; what was found in its photos stays. */
export async function deleteSession(sessionId: number): Promise<void> {
  await request(`${TRAINING}/sessions/${sessionId}`, { method: 'DELETE' });
}

/** What can be asked of a session, and the path that asks it. No restart deletes persons. */
const ACTIONS = {
  start: 'start',
  pause: 'pause',
  resume: 'resume',
  cancel: 'cancel',
  retryFailed: 'restart-training?failed_only=true',
  restartTraining: 'restart-training?failed_only=false',
  restartFaces: 'restart-faces?delete_persons=false',
  restartClustering: 'restart-clustering',
} as const;

export type Action = keyof typeof ACTIONS;

/** Asks something of a session; an ApiError of 409 where its state does not allow it. */
export async function press(sessionId: number, action: Action): Promise<void> {
  await request(`${TRAINING}/sessions/${sessionId}/${ACTIONS[action]}`, { method: 'POST' });
}

export function getProgress(sessionId: number, signal?: AbortSignal): Promise<Snapshot> {
  return request(`${TRAINING}/sessions/${sessionId}/progress-unified`, { signal });
}

export function progressStreamUrl(sessionId: number): string {
  return `${TRAINING}/sessions/${sessionId}/progress-unified/stream`;
}

/** One stream for a whole page: every session under way, and each change of any. */
export const allProgressStreamUrl = `${TRAINING}/progress/stream`;

/** Photos that failed, or places that could not be looked at, on one page. */
export const FAILURES_PAGE_SIZE = 50;

export function listFailedJobs(sessionId: number, page: number, signal?: AbortSignal): Promise<Page<Job>> {
  const query = `status=failed&page=${page}&page_size=${FAILURES_PAGE_SIZE}`;
  return request(`${TRAINING}/sessions/${sessionId}/jobs?${query}`, { signal });
}

/** Has a photo that failed tried again in the session's next run. */
export async function retryJob(sessionId: number, jobId: number): Promise<void> {
  await request(`${TRAINING}/sessions/${sessionId}/jobs/${jobId}/retry`, { method: 'POST' });
}

/** Folders and files that could not even be looked at. */
export function listProblems(sessionId: number, page: number, signal?: AbortSignal): Promise<Page<Problem>> {
  return request(`${TRAINING}/sessions/${sessionId}/problems?page=${page}&page_size=${FAILURES_PAGE_SIZE}`, { signal });
}

export const GROUPS_PAGE_SIZE = 100;

export function listGroups(sessionId: number, page: number, signal?: AbortSignal): Promise<Page<Group>> {
  return request(`${API}/faces/clusters?session_id=${sessionId}&page=${page}&page_size=${GROUPS_PAGE_SIZE}`, { signal });
}

export function getHealth(signal?: AbortSignal): Promise<Health> {
  return request('/health', { signal });
}

interface RequestOptions {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Sent as JSON, a form as multipart. */
  body?: unknown;
  signal?: AbortSignal | undefined;
}

export async function request<Answer>(url: string, { method = 'GET', body, signal }: RequestOptions): Promise<Answer> {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MILLISECONDS);
  const init: RequestInit = { method, signal: signal ? AbortSignal.any([signal, timeout]) : timeout };
  if (body instanceof FormData) {
    init.body = body;
  } else if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'Content-Type': 'application/json' };
  }
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, init);
    text = await response.text();
  } catch (error) {
    // Who aborted a request wants no other error in its place.
    if (signal?.aborted) throw error;
    throw new GatewayAway('The gateway does not answer.', { cause: error });
  }
  if (response.status === 204) return undefined as Answer;
  if (response.status === 401) unauthorized();
  const answer = parseJson(text);
  if (response.ok) {
    if (answer === undefined) throw new GatewayAway('What answered is not the gateway.');
    return answer as Answer;
  }
  throw refusal(response.status, answer);
}

/** The error for an answer that is none. Exported for its tests: every shape of the contract's errors passes here. */
export function refusal(httpStatus: number, answer: unknown): ApiError | GatewayAway {
  // Proxies before an absent gateway answer 5xx with a page or nothing; the gateway's own 5xx carry its error object.
  if (!isRecord(answer)) {
    return httpStatus >= 500
      ? new GatewayAway('The gateway does not answer.')
      : new ApiError(httpStatus, 'unknown', `The gateway refused with status ${httpStatus}.`);
  }
  const error = isRecord(answer['error']) ? answer['error'] : {};
  const details = isRecord(error['details']) ? error['details'] : {};
  const [invalid] = Array.isArray(answer['detail']) ? (answer['detail'] as unknown[]) : [];
  const message = [
    answer['message'],
    error['message'],
    answer['detail'],
    isRecord(invalid) ? invalid['msg'] : null,
  ].find((candidate): candidate is string => typeof candidate === 'string' && candidate !== '');
  return new ApiError(
    httpStatus,
    typeof error['code'] === 'string' ? error['code'] : 'unknown',
    message ?? `The gateway refused with status ${httpStatus}.`,
    fieldOf(details['field'], isRecord(invalid) ? invalid['loc'] : null),
  );
}

/** The name of the objectionable field, from the error's details or from FastAPI's location of it. */
function fieldOf(named: unknown, location: unknown): string | null {
  const last: unknown = Array.isArray(location) ? location.at(-1) : null;
  const field = typeof named === 'string' ? named : last;
  return typeof field === 'string'
    ? field.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase())
    : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
