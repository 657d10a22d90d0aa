/** When a session is told to be done: a clock time that stays while the estimate only breathes. */

import type { OverallProgress } from './api/types';
import { clockRange, clockTime, wideRange } from './format';

/** A told moment stays until the estimate leaves it by more than this, or by this share of what remains. */
const STEADY_SECONDS = 45;
const STEADY_SHARE = 0.05;
/** Ends of a range nearer than this read alike by a clock: how long is left tells more. */
const CLOSE_MILLISECONDS = 120_000;

/** Moments in milliseconds since the epoch. */
export interface Completion {
  readonly at: number;
  /** Between which moments, while that is uncertain. */
  readonly range: { readonly from: number; readonly to: number } | null;
}

/** What to tell now, given what was told before; null where nothing is known, or nothing goes on. */
export function completionOf(told: Completion | null, now: number, progress: OverallProgress): Completion | null {
  const { etaSeconds, etaLowSeconds, etaHighSeconds, etaConfidence, stall } = progress;
  if (etaSeconds === null || stall !== null) return null;
  const at = steady(told?.at ?? null, now, etaSeconds);
  const ends = etaConfidence === 'high' ? null : wideRange(etaLowSeconds, etaHighSeconds);
  if (ends === null) return { at, range: null };
  const from = steady(told?.range?.from ?? null, now, ends.low);
  const to = steady(told?.range?.to ?? null, now, ends.high);
  return { at, range: { from: Math.min(from, at), to: Math.max(to, at) } };
}

/** Estimates breathe with each report; a clock time that jumps to and fro is believed by nobody. */
function steady(told: number | null, now: number, seconds: number): number {
  const estimate = now + seconds * 1_000;
  if (told === null || told <= now) return estimate;
  const tolerated = Math.max(STEADY_SECONDS, STEADY_SHARE * seconds) * 1_000;
  return Math.abs(estimate - told) > tolerated ? estimate : told;
}

/** "2:45 PM", and where that is uncertain by minutes the range "2:40 – 2:55 PM" (else empty), as seen from now. */
export function completionInWords({ at, range }: Completion, now: number): { time: string; range: string } {
  const isTold = range !== null && range.to - range.from >= CLOSE_MILLISECONDS;
  return { time: clockTime(at, now), range: isTold ? clockRange(range.from, range.to, now) : '' };
}
