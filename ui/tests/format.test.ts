/** How numbers and times are told. */

import { describe, expect, it } from 'vitest';
import {
  clockTime,
  duration,
  figure,
  keyInWords,
  percentage,
  rate,
  remaining,
  steadyCompletion,
} from '../src/lib/format';

describe('percentage', () => {
  it.each([
    [0, '0 %'],
    [0.04, '0.0 %'],
    [32.3, '32.3 %'],
    [62, '62.0 %'],
    [99.96, '99.9 %'],
    [100, '100 %'],
  ])('tells %d as %s', (value, told) => {
    expect(percentage(value)).toBe(told);
  });

  it('tells every tenth as itself, whatever its binary form', () => {
    for (let tenths = 1; tenths < 1000; tenths += 1) {
      expect(percentage(tenths / 10)).toBe(`${Math.floor(tenths / 10)}.${tenths % 10} %`);
    }
  });
});

describe('remaining', () => {
  it.each([
    [null, ''],
    [0, 'about 5 s left'],
    [42, 'about 40 s left'],
    [58, 'about 1 min left'],
    [119 * 60 + 29, 'about 119 min left'],
    [2.6 * 3600, 'about 2.5 h left'],
  ])('tells %s as "%s"', (seconds, told) => {
    expect(remaining(seconds)).toBe(told);
  });

  it('is a range while the ends are really apart, with the unit said once where it is one', () => {
    expect(remaining(200, 120, 300)).toBe('2–5 min left');
    expect(remaining(60, 40, 120)).toBe('40 s–2 min left');
  });

  it('is one figure where the ends are close, or read the same', () => {
    expect(remaining(180, 170, 190)).toBe('about 3 min left');
    expect(remaining(3, 1, 5)).toBe('about 5 s left');
  });
});

describe('duration', () => {
  it.each([
    [0.2, '0 s'],
    [59.6, '1 min'],
    [200, '3 min 20 s'],
    [3_600, '1 h'],
    [3_900, '1 h 5 min'],
    [183_600, '2 d 3 h'],
  ])('tells %d seconds as %s', (seconds, told) => {
    expect(duration(seconds)).toBe(told);
  });
});

describe('the time of completion', () => {
  const now = Date.parse('2026-01-12T10:00:00Z');
  const after = (seconds: number): number => now + seconds * 1_000;

  it('stays while the estimate breathes', () => {
    expect(steadyCompletion(after(600), now, 630)).toBe(after(600));
    expect(steadyCompletion(after(7_200), now, 7_500)).toBe(after(7_200));
  });

  it('moves when the estimate has really moved', () => {
    expect(steadyCompletion(after(600), now, 660)).toBe(after(660));
    expect(steadyCompletion(after(7_200), now, 9_000)).toBe(after(9_000));
  });

  it('is never one that has passed, and is unknown without an estimate', () => {
    expect(steadyCompletion(after(-5), now, 20)).toBe(after(20));
    expect(steadyCompletion(after(600), now, null)).toBeNull();
  });

  it('is told as seen from now', () => {
    const noon = new Date(2026, 0, 12, 12, 0).getTime();
    const at = (day: number, hour: number): number => new Date(2026, 0, day, hour, 45).getTime();
    // Newer ICU data put a narrow no-break space before AM and PM.
    const told = (moment: number): string => clockTime(moment, noon).replace(/\s/g, ' ');
    expect(told(at(12, 14))).toBe('2:45 PM');
    expect(told(at(13, 0))).toBe('tomorrow 12:45 AM');
    expect(told(at(15, 9))).toBe('Thu 9:45 AM');
    expect(told(at(24, 9))).toBe('Jan 24, 9:45 AM');
  });
});

describe('other figures', () => {
  it('tells a rate only where it is known, and slow ones to a tenth', () => {
    expect([rate(null), rate(0), rate(3.25), rate(1250.4)]).toEqual(['', '', '3.3/min', '1,250/min']);
  });

  it('tells free-form numbers in words', () => {
    expect([keyInWords('facesDetected'), keyInWords('clusters'), figure(1234.567)]).toEqual([
      'Faces detected',
      'Clusters',
      '1,234.57',
    ]);
  });
});
