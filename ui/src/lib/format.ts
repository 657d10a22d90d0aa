/**
 * Numbers and times as their reader writes them. Estimates are no finer than they deserve, so that they do not flicker.
 * The page's words are English; how a date or a number looks is the reader's own locale's.
 */

const LOCALES = [...navigator.languages];
const TIME = { hour: 'numeric', minute: '2-digit' } as const;

const NUMBER = new Intl.NumberFormat(LOCALES);
const ONE_PLACE = new Intl.NumberFormat(LOCALES, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const TWO_PLACES = new Intl.NumberFormat(LOCALES, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const WHOLE_PERCENT = new Intl.NumberFormat(LOCALES, { style: 'percent' });
const PERCENT = new Intl.NumberFormat(LOCALES, { style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat(LOCALES, TIME);
const WEEKDAY = new Intl.DateTimeFormat(LOCALES, { weekday: 'short', ...TIME });
const DATE = new Intl.DateTimeFormat(LOCALES, { month: 'short', day: 'numeric', ...TIME });
const DATE_OF_ANOTHER_YEAR = new Intl.DateTimeFormat(LOCALES, {
  year: 'numeric',
  month: 'short',
  day: 'numeric',
  ...TIME,
});

const MINUTE_SECONDS = 60;
const HOUR_SECONDS = 3_600;
const DAY_SECONDS = 86_400;
/** An estimate is told as a range where its high end is more than this times its low end. */
const WIDE_RANGE = 1.25;

export function count(value: number): string {
  return NUMBER.format(value);
}

/** A percentage to 0.1, cut and never rounded up: 99.96 is not 100. */
export function percentage(value: number): string {
  // Without the tiny summand 32.3 * 10 = 322.99… would be cut to 32.2.
  const share = Math.floor(value * 10 + 1e-6) / 1_000;
  return (value > 0 && value < 100 ? PERCENT : WHOLE_PERCENT).format(share);
}

/** Photos or faces a minute, such as "250/min"; empty where unknown. */
export function rate(perMinute: number | null): string {
  if (perMinute === null || perMinute <= 0) return '';
  return perMinute >= 10 ? `${NUMBER.format(Math.round(perMinute))}/min` : `${ONE_PLACE.format(perMinute)}/min`;
}

/** A measured time: "less than 1 s", "4 s", "3 min 20 s", "1 h 5 min", "2 d 3 h". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole === 0) return 'less than 1 s';
  if (whole < MINUTE_SECONDS) return `${whole} s`;
  if (whole < HOUR_SECONDS) return pair(whole, MINUTE_SECONDS, 'min', 1, 's');
  if (whole < DAY_SECONDS) return pair(whole, HOUR_SECONDS, 'h', MINUTE_SECONDS, 'min');
  return pair(whole, DAY_SECONDS, 'd', HOUR_SECONDS, 'h');
}

function pair(seconds: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((seconds % large) / small);
  const first = `${Math.floor(seconds / large)} ${largeUnit}`;
  return rest === 0 ? first : `${first} ${rest} ${smallUnit}`;
}

/** An estimate of the remaining time: "about 3 min left", or "2–5 min left" while uncertain; empty if unknown. */
export function remaining(seconds: number | null, low: number | null = null, high: number | null = null): string {
  if (seconds === null) return '';
  const range = wideRange(low, high);
  if (range) {
    const [from, to] = [rough(range.low), rough(range.high)];
    if (from.text !== to.text) return `${from.unit === to.unit ? from.number : from.text}–${to.text} left`;
  }
  return `${estimate(seconds)} left`;
}

/** An estimated time: "about 3 min". */
export function estimate(seconds: number): string {
  return `about ${rough(seconds).text}`;
}

/** The two ends of an estimate in seconds, where it is so uncertain that they are worth telling. */
export function wideRange(low: number | null, high: number | null): { low: number; high: number } | null {
  return low !== null && high !== null && high > WIDE_RANGE * Math.max(low, 1) ? { low, high } : null;
}

/** A time to 5 s below a minute, to a minute below two hours, else to half an hour. */
function rough(seconds: number): { number: string; unit: string; text: string } {
  const [number, unit] =
    seconds < 57.5
      ? [String(Math.max(5, 5 * Math.round(seconds / 5))), 's']
      : seconds < 2 * HOUR_SECONDS
        ? [String(Math.round(seconds / MINUTE_SECONDS)), 'min']
        : [NUMBER.format(Math.round((2 * seconds) / HOUR_SECONDS) / 2), 'h'];
  return { number, unit, text: `${number} ${unit}` };
}

/** A clock time as seen from now: "2:45 PM", "tomorrow 2:45 PM", "Tue 2:45 PM", from a week on "Nov 24, 2:45 PM". */
export function clockTime(moment: number, now: number): string {
  const days = Math.round((startOfDay(moment) - startOfDay(now)) / (DAY_SECONDS * 1_000));
  if (days === 0) return CLOCK.format(moment);
  if (days === 1) return `tomorrow ${CLOCK.format(moment)}`;
  return days > 1 && days < 7 ? WEEKDAY.format(moment) : DATE.format(moment);
}

/** From one clock time to another, such as "2:40 – 2:55 PM"; empty where both read the same. */
export function clockRange(from: number, to: number, now: number): string {
  const [first, last] = [clockTime(from, now), clockTime(to, now)];
  if (first === last) return '';
  const isToday = startOfDay(from) === startOfDay(now) && startOfDay(to) === startOfDay(now);
  return isToday ? CLOCK.formatRange(from, to) : `${first} – ${last}`;
}

function startOfDay(moment: number): number {
  return new Date(moment).setHours(0, 0, 0, 0);
}

/** A contract's time as "Nov 24, 2:45 PM", with its year where that is not this one; empty where there is none. */
export function dateTime(iso: string | null): string {
  if (iso === null) return '';
  const moment = new Date(iso);
  const isThisYear = moment.getFullYear() === new Date().getFullYear();
  return (isThisYear ? DATE : DATE_OF_ANOTHER_YEAR).format(moment);
}

/** A camelCase key of the gateway's free-form numbers in words: "facesDetected" → "faces detected". */
export function keyInWords(key: string): string {
  return key.replace(/([a-z0-9])([A-Z])/g, '$1 $2').toLowerCase();
}

/** A measure between 0 and 1, such as a similarity, to two places. */
export function measure(value: number): string {
  return TWO_PLACES.format(value);
}

/** A count with what is counted: "1 photo", "1,200 photos". */
export function countOf(value: number, one: string, many: string): string {
  return `${NUMBER.format(value)} ${value === 1 ? one : many}`;
}
