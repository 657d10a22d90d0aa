/** How answers that are none become errors: each shape of the contract's error, and what proxies say in its place. */

import { afterEach, describe, expect, it, vi } from 'vitest';
import { createSession, getProgress, GatewayAway, press, refusal, type Action } from '../src/lib/api/client';

function contractError(detail: unknown, details: object = {}): object {
  return { detail, message: 'A sentence.', error: { code: 'some_code', message: 'A sentence.', details } };
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('refusal', () => {
  it('takes code and sentence from the contract’s error object', () => {
    expect(refusal(400, contractError('A sentence.'))).toMatchObject({
      httpStatus: 400,
      code: 'some_code',
      message: 'A sentence.',
      field: null,
    });
  });

  it('finds the field in the details, or in the location of an invalid body', () => {
    expect(refusal(400, contractError('…', { field: 'rootPath' }))).toMatchObject({ field: 'rootPath' });
    const invalid = [{ loc: ['body', 'root_path'], msg: 'Field required' }];
    expect(refusal(422, contractError(invalid))).toMatchObject({ field: 'rootPath' });
  });

  it('still says something where only a bare list of mistakes came', () => {
    expect(refusal(422, { detail: [{ loc: ['body', 'name'], msg: 'Field required' }] })).toMatchObject({
      message: 'Field required',
      field: 'name',
    });
    expect(refusal(418, {})).toMatchObject({ message: 'The gateway refused with status 418.' });
  });

  it('tells a service that is away behind the gateway from a gateway that is away', () => {
    expect(refusal(503, contractError('…'))).toMatchObject({ name: 'ApiError', httpStatus: 503 });
    expect(refusal(502, undefined)).toBeInstanceOf(GatewayAway);
    expect(refusal(404, undefined)).toMatchObject({ name: 'ApiError', httpStatus: 404 });
  });
});

describe('a request', () => {
  it('sends a new session as JSON', async () => {
    const fetchMock = vi.fn().mockResolvedValue(new Response('{"id": 3}', { status: 201 }));
    vi.stubGlobal('fetch', fetchMock);
    await expect(createSession({ name: 'Trip', rootPath: '/photos' })).resolves.toEqual({ id: 3 });
    expect(fetchMock).toHaveBeenCalledWith(
      '/api/v1/training/sessions',
      expect.objectContaining({ method: 'POST', body: '{"name":"Trip","rootPath":"/photos"}' }),
    );
  });

  it('that reaches nobody, or something else than a gateway, says so', async () => {
    vi.stubGlobal('fetch', vi.fn().mockRejectedValue(new TypeError('Failed to fetch')));
    await expect(getProgress(1)).rejects.toBeInstanceOf(GatewayAway);
    vi.stubGlobal('fetch', vi.fn().mockResolvedValue(new Response('<html></html>')));
    await expect(getProgress(1)).rejects.toBeInstanceOf(GatewayAway);
  });

  it('that the reader withdrew is no sign of an absent gateway', async () => {
    const reader = new AbortController();
    reader.abort();
    vi.stubGlobal('fetch', vi.fn().mockRejectedValue(reader.signal.reason));
    await expect(getProgress(1, reader.signal)).rejects.toBe(reader.signal.reason);
  });
});

describe('press', () => {
  it.each([
    ['start', 'start'],
    ['pause', 'pause'],
    ['resume', 'resume'],
    ['cancel', 'cancel'],
    ['retryFailed', 'restart-training?failed_only=true'],
    ['restartTraining', 'restart-training?failed_only=false'],
    ['restartFaces', 'restart-faces?delete_persons=false'],
    ['restartClustering', 'restart-clustering'],
  ] as [Action, string][])('asks for %s by POST', async (action, path) => {
    const fetchMock = vi.fn(() => Promise.resolve(Response.json({ sessionId: 7, status: 'running', message: '' })));
    vi.stubGlobal('fetch', fetchMock);
    await press(7, action);
    expect(fetchMock).toHaveBeenCalledExactlyOnceWith(
      `/api/v1/training/sessions/7/${path}`,
      expect.objectContaining({ method: 'POST' }),
    );
  });
});
