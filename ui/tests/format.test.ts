/** How numbers and times are told: by the test environment's locale, en-US, where a test asks for no other one. */

import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  clockRange,
  clockTime,
  countOf,
  dateTime,
  duration,
  keyInWords,
  measure,
  percentage,
  rate,
  remaining,
} from '../src/lib/format';

/** Newer ICU data put thin and narrow no-break spaces between figures. */
function plain(told: string): string {
  return told.replace(/\s/g, ' ');
}

describe('percentage', () => {
  it.each([
    [0, '0%'],
    [0.04, '0.0%'],
    [32.3, '32.3%'],
    [62, '62.0%'],
    [99.96, '99.9%'],
    [100, '100%'],
  ])('tells %d as %s', (value, told) => {
    expect(percentage(value)).toBe(told);
  });

  it('tells every tenth as itself, whatever its binary form', () => {
    for (let tenths = 1; tenths < 1000; tenths += 1) {
      expect(percentage(tenths / 10)).toBe(`${Math.floor(tenths / 10)}.${tenths % 10}%`);
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
    [0.2, 'less than 1 s'],
    [59.6, '1 min'],
    [200, '3 min 20 s'],
    [3_600, '1 h'],
    [3_900, '1 h 5 min'],
    [183_600, '2 d 3 h'],
  ])('tells %d seconds as %s', (seconds, told) => {
    expect(duration(seconds)).toBe(told);
  });
});

describe('a clock time', () => {
  const noon = new Date(2026, 0, 12, 12, 0).getTime();
  const at = (day: number, hour: number, minute = 45): number => new Date(2026, 0, day, hour, minute).getTime();

  it('is told as seen from now', () => {
    const told = (moment: number): string => plain(clockTime(moment, noon));
    expect(told(at(12, 14))).toBe('2:45 PM');
    expect(told(at(13, 0))).toBe('tomorrow 12:45 AM');
    expect(told(at(15, 9))).toBe('Thu 9:45 AM');
    expect(told(at(24, 9))).toBe('Jan 24, 9:45 AM');
  });

  it('is a range from one to another, unless both read the same', () => {
    const told = (from: number, to: number): string => plain(clockRange(from, to, noon));
    expect(told(at(12, 14, 40), at(12, 14, 55))).toBe('2:40 – 2:55 PM');
    expect(told(at(12, 23), at(13, 1))).toBe('11:45 PM – tomorrow 1:45 AM');
    expect(told(at(12, 14), at(12, 14) + 59_000)).toBe('');
  });
});

describe('in the reader’s own locale', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  it('numbers and times are written as there', async () => {
    vi.stubGlobal('navigator', { languages: ['de-DE', 'en'] });
    vi.resetModules();
    const german = await import('../src/lib/format');
    const noon = new Date(2026, 0, 12, 12, 0).getTime();
    expect(german.count(1_234_567)).toBe('1.234.567');
    expect(plain(german.percentage(62.5))).toBe('62,5 %');
    expect(german.rate(3.25)).toBe('3,3/min');
    expect(german.clockTime(new Date(2026, 0, 12, 14, 45).getTime(), noon)).toBe('14:45');
    expect(plain(german.dateTime('2019-05-04T13:17:31.000Z'))).toMatch(/^4\. Mai 2019, \d{2}:17$/);
  });
});

describe('other figures', () => {
  it('tells a rate only where it is known, and slow ones to a tenth', () => {
    expect([rate(null), rate(0), rate(3.25), rate(1250.4)]).toEqual(['', '', '3.3/min', '1,250/min']);
  });

  it('tells free-form numbers in words', () => {
    expect([keyInWords('facesDetected'), keyInWords('clusters')]).toEqual(['faces detected', 'clusters']);
  });

  it('tells measures to two places, and counts with what is counted', () => {
    expect([measure(0.8), countOf(1, 'photo', 'photos'), countOf(1_200, 'photo', 'photos')]).toEqual([
      '0.80',
      '1 photo',
      '1,200 photos',
    ]);
  });

  it('tells the year of a moment only where it is another one', () => {
    const now = new Date();
    expect(plain(dateTime(new Date(now.getFullYear(), 4, 4, 15, 17).toISOString()))).toBe('May 4, 3:17 PM');
    expect(plain(dateTime(new Date(2019, 4, 4, 15, 17).toISOString()))).toBe('May 4, 2019, 3:17 PM');
    expect(dateTime(null)).toBe('');
  });
});
