/** Which rows of a long grid are on the page. */

import { describe, expect, it } from 'vitest';
import { columnsIn, visibleRows } from '../src/lib/virtualRows';

const VIEW = { scrolled: 0, windowHeight: 900, rowHeight: 150, rows: 5_000 };

describe('visible rows', () => {
  it('are those in view and some around them, whatever the number of rows', () => {
    expect(visibleRows(VIEW)).toEqual({ first: 0, end: 10 });
    expect(visibleRows({ ...VIEW, scrolled: 300_000 })).toEqual({ first: 1_996, end: 2_010 });
  });

  it('end with the last, and begin with the first', () => {
    expect(visibleRows({ ...VIEW, scrolled: 749_700 })).toEqual({ first: 4_994, end: 5_000 });
    expect(visibleRows({ ...VIEW, scrolled: -600 })).toEqual({ first: 0, end: 6 });
    expect(visibleRows({ ...VIEW, rows: 0 })).toEqual({ first: 0, end: 0 });
  });

  it('are at least one where the window is past all of them, so that a row can be measured', () => {
    expect(visibleRows({ ...VIEW, scrolled: 2_000_000, rows: 3 })).toEqual({ first: 2, end: 3 });
  });

  it('are a few before it is known how high one is', () => {
    expect(visibleRows({ ...VIEW, rowHeight: 0 })).toEqual({ first: 0, end: 8 });
    expect(visibleRows({ ...VIEW, rowHeight: 0, rows: 3 })).toEqual({ first: 0, end: 3 });
  });
});

it('as many columns as fit, and always one', () => {
  expect([columnsIn(300, 112, 12), columnsIn(372, 112, 12), columnsIn(360, 112, 12), columnsIn(0, 112, 12)]).toEqual([
    2, 3, 3, 1,
  ]);
});
