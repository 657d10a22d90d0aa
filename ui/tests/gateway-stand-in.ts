/** Answers of a gateway for tests of components: by method and path, as a test says. */

import { vi } from 'vitest';

type Answer = (body: unknown, url: URL) => unknown;

/** An answer other than 200, in the contract's shape. */
export class Refused {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly message: string,
    readonly details: Record<string, unknown> = {},
  ) {}
}

export interface Asked {
  readonly what: string;
  readonly body: unknown;
}

/**
 * Puts answers in the place of `fetch` until the test ends; what is not among them fails the test that asks for it.
 * Returns what is asked, as it comes: "GET /api/v1/…" without the query.
 */
export function standIn(answers: Readonly<Record<string, Answer>>): Asked[] {
  const asked: Asked[] = [];
  vi.stubGlobal('fetch', (input: string, { method = 'GET', body }: RequestInit) => {
    const url = new URL(input, 'http://gateway');
    const what = `${method} ${url.pathname}`;
    const sent: unknown = typeof body === 'string' ? JSON.parse(body) : undefined;
    asked.push({ what, body: sent });
    const answer = answers[what];
    if (answer === undefined) throw new Error(`Nobody answers ${what}.`);
    const content = answer(sent, url);
    if (!(content instanceof Refused)) return Promise.resolve(Response.json(content));
    const { status, code, message, details } = content;
    return Promise.resolve(Response.json({ detail: message, message, error: { code, message, details } }, { status }));
  });
  return asked;
}
