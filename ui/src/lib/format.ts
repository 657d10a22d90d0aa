/** Numbers and times as people read them. Estimates are no finer than they deserve, so that they do not flicker. */

const NUMBER = new Intl.NumberFormat('en-US');
const CLOCK = new Intl.DateTimeFormat('en-US', { hour: 'numeric', minute: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat('en-US', { weekday: 'short' });
const DATE = new Intl.DateTimeFormat('en-US', { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' });

const MINUTE_SECONDS = 60;
const HOUR_SECONDS = 3_600;
const DAY_SECONDS = 86_400;
/** An estimate is told as a range where its high end is more than this times its low end. */
const WIDE_RANGE = 1.25;
/** A told time of completion stays until the estimate leaves it by more than this, or by this share of what remains. */
const STEADY_SECONDS = 45;
const STEADY_SHARE = 0.05;

export function count(value: number): string {
  return NUMBER.format(value);
}

/** A percentage to 0.1, cut and never rounded up: 99.96 is not 100. */
export function percentage(value: number): string {
  // Without the tiny summand 32.3 * 10 = 322.99… would be cut to 32.2.
  return `${(Math.floor(value * 10 + 1e-6) / 10).toFixed(value > 0 && value < 100 ? 1 : 0)} %`;
}

/** Photos or faces a minute, such as "250/min"; empty where unknown. */
export function rate(perMinute: number | null): string {
  if (perMinute === null || perMinute <= 0) return '';
  return perMinute >= 10 ? `${NUMBER.format(Math.round(perMinute))}/min` : `${perMinute.toFixed(1)}/min`;
}

/** A measured time: "4 s", "3 min 20 s", "1 h 5 min", "2 d 3 h". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
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
  if (low !== null && high !== null && high > WIDE_RANGE * Math.max(low, 1)) {
    const [from, to] = [rough(low), rough(high)];
    if (from.text !== to.text) return `${from.unit === to.unit ? from.number : from.text}–${to.text} left`;
  }
  return `about ${rough(seconds).text} left`;
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

/**
 * The time of completion to tell, in milliseconds since the epoch: the one told before, unless the estimate moved.
 * Estimates breathe with each report; a clock time that jumps to and fro is believed by nobody.
 */
export function steadyCompletion(told: number | null, now: number, etaSeconds: number | null): number | null {
  if (etaSeconds === null) return null;
  const estimate = now + etaSeconds * 1_000;
  if (told === null || told <= now) return estimate;
  const tolerated = Math.max(STEADY_SECONDS, STEADY_SHARE * etaSeconds) * 1_000;
  return Math.abs(estimate - told) > tolerated ? estimate : told;
}

/** A clock time as seen from now: "2:45 PM", "tomorrow 2:45 PM", "Tue 2:45 PM", from a week on "Nov 24, 2:45 PM". */
export function clockTime(moment: number, now: number): string {
  const days = Math.round((startOfDay(moment) - startOfDay(now)) / (DAY_SECONDS * 1_000));
  if (days === 0) return CLOCK.format(moment);
  if (days === 1) return `tomorrow ${CLOCK.format(moment)}`;
  return days > 1 && days < 7 ? `${WEEKDAY.format(moment)} ${CLOCK.format(moment)}` : DATE.format(moment);
}

function startOfDay(moment: number): number {
  return new Date(moment).setHours(0, 0, 0, 0);
}

/** A contract's time as "Nov 24, 2:45 PM"; empty where there is none. */
export function dateTime(iso: string | null): string {
  return iso === null ? '' : DATE.format(new Date(iso));
}

/** A camelCase key of the gateway's free-form numbers in words: "facesDetected" → "Faces detected". */
export function keyInWords(key: string): string {
  const words = key.replace(/([a-z0-9])([A-Z])/g, '$1 $2').toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A number of those: whole ones grouped, others to at most two places. */
export function figure(value: number): string {
  return new Intl.NumberFormat('en-US', { maximumFractionDigits: 2 }).format(value);
}
