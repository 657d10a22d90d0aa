/** When a session is told to be done. */

import { describe, expect, it } from 'vitest';
import type { OverallProgress } from '../src/lib/api/types';
import { completionInWords, completionOf, type Completion } from '../src/lib/completion';
import { snapshot } from './snapshots';

const NOW = new Date(2026, 0, 12, 14, 0).getTime();

function after(seconds: number): number {
  return NOW + seconds * 1_000;
}

function expected(etaSeconds: number | null, changes: Partial<OverallProgress> = {}): OverallProgress {
  return { ...snapshot(1, 'running').overallProgress, etaSeconds, ...changes };
}

function told(seconds: number): Completion {
  return { at: after(seconds), range: null };
}

describe('the time of completion', () => {
  it('stays while the estimate breathes', () => {
    expect(completionOf(told(600), NOW, expected(630))?.at).toBe(after(600));
    expect(completionOf(told(7_200), NOW, expected(7_500))?.at).toBe(after(7_200));
  });

  it('moves when the estimate has really moved', () => {
    expect(completionOf(told(600), NOW, expected(660))?.at).toBe(after(660));
    expect(completionOf(told(7_200), NOW, expected(9_000))?.at).toBe(after(9_000));
  });

  it('is never one that has passed', () => {
    expect(completionOf(told(-5), NOW, expected(20))?.at).toBe(after(20));
  });

  it('is unknown without an estimate, and while nothing goes on', () => {
    const stall = { phase: 'training' as const, since: '2026-01-12T10:00:00Z', seconds: 40, message: 'no progress' };
    expect(completionOf(told(600), NOW, expected(null))).toBeNull();
    expect(completionOf(told(600), NOW, expected(600, { stall }))).toBeNull();
  });
});

describe('its range', () => {
  const uncertain = { etaConfidence: 'low', etaLowSeconds: 2_400, etaHighSeconds: 3_300 } as const;

  it('is told while it is uncertain, and holds the time that is told', () => {
    const completion = completionOf(null, NOW, expected(2_700, uncertain));
    expect(completion?.range).toEqual({ from: after(2_400), to: after(3_300) });
    const words = completion && completionInWords(completion, NOW);
    expect(words?.time.replace(/\s/g, ' ')).toBe('2:45 PM');
    expect(words?.range.replace(/\s/g, ' ')).toBe('2:40 – 2:55 PM');
    const moved = completionOf({ at: after(2_300), range: null }, NOW, expected(2_410, uncertain));
    expect(moved).toEqual({ at: after(2_300), range: { from: after(2_300), to: after(3_300) } });
  });

  it('is not told by the clock where it is of seconds', () => {
    const seconds = completionOf(null, NOW, expected(30, { ...uncertain, etaLowSeconds: 20, etaHighSeconds: 130 }));
    expect(seconds?.range).toEqual({ from: after(20), to: after(130) });
    expect(seconds && completionInWords(seconds, NOW).range).toBe('');
  });

  it('stays while its ends breathe', () => {
    const before = completionOf(null, NOW, expected(2_700, uncertain));
    const next = expected(2_710, { ...uncertain, etaLowSeconds: 2_420, etaHighSeconds: 3_280 });
    expect(completionOf(before, NOW, next)).toEqual(before);
  });

  it('is not told where the estimate is certain, or the ends are close', () => {
    expect(completionOf(null, NOW, expected(2_700, { ...uncertain, etaConfidence: 'high' }))?.range).toBeNull();
    expect(completionOf(null, NOW, expected(2_700, { ...uncertain, etaHighSeconds: 2_500 }))?.range).toBeNull();
  });
});
