/** Which rows of a long grid are worth having on the page: those in view, and some around them. */

export interface View {
  /** How far the top of the grid is above the top of the window, in pixels; negative where it is below. */
  readonly scrolled: number;
  readonly windowHeight: number;
  /** Of a row with the gap below it, in pixels; 0 before a row was seen. */
  readonly rowHeight: number;
  readonly rows: number;
}

/** Rows beyond either edge of the window, so that scrolling shows no gap. */
const AROUND = 4;
/** Rows that are put on the page before it is known how high one is. */
const AT_FIRST = 8;

/** The first row, and the one after the last. */
export function visibleRows({ scrolled, windowHeight, rowHeight, rows }: View): { first: number; end: number } {
  if (rowHeight <= 0) return { first: 0, end: Math.min(rows, AT_FIRST) };
  const first = Math.floor(scrolled / rowHeight) - AROUND;
  const end = Math.ceil((scrolled + windowHeight) / rowHeight) + AROUND;
  const kept = Math.min(rows, Math.max(0, end));
  return { first: Math.max(0, Math.min(first, kept - 1)), end: kept };
}

/** How many columns of at least that width fit, in pixels. */
export function columnsIn(width: number, least: number, gap: number): number {
  return Math.max(1, Math.floor((width + gap) / (least + gap)));
}
