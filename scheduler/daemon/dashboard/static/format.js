// Numbers and instants as text. What is not known is said so, never shown as a number.

export const UNKNOWN = "not known";
const HOUR_MS = 3_600_000;

/** Milliseconds of an instant the daemon wrote; null stays null. */
export const instantMs = (text) => (text === null || text === undefined ? null : Date.parse(text));

// Below this a difference is noise, and is called neither a saving nor a loss.
const EVEN_RATIO = 0.0005;

/** Whether a ratio tells a saving from none, and a loss from none. */
export const isEven = (ratio) => Math.abs(ratio) < EVEN_RATIO;
export const isLoss = (ratio) => ratio !== null && ratio <= -EVEN_RATIO;

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function digits(value, count) {
  return value.toLocaleString("en", { maximumFractionDigits: count, minimumFractionDigits: count }).replace("-", "−");
}

// Keeps a number on one line with its unit, and a span of time on one line: a line may break after a dash.
export const NBSP = "\u00a0";
const DASH = `${NBSP}–\u2060${NBSP}`;

/** Three digits that matter, without an exponent. */
function short(value) {
  const size = Math.abs(value);
  return digits(value, size < 0.005 || size >= 100 ? 0 : size >= 10 ? 1 : 2).replace(/^−0$/, "0");
}

function scaled(value, units) {
  if (!isNumber(value)) return UNKNOWN;
  const [, unit, factor] = units.find(([upTo]) => Math.abs(value) < upTo);
  return `${short(value / factor)}${NBSP}${unit}`;
}

/** Grams of CO2e in g, kg or t. */
export const mass = (gco2e) => scaled(gco2e, [[1e3, "g", 1], [1e6, "kg", 1e3], [Infinity, "t", 1e6]]);

/** Energy in Wh, kWh or MWh. */
export const energy = (kwh) => scaled(kwh, [[0.1, "Wh", 1e-3], [1e3, "kWh", 1], [Infinity, "MWh", 1e3]]);

/** Energy of one token. */
export const perToken = (j) => (isNumber(j) ? `${short(j)}${NBSP}J/token` : UNKNOWN);

/** Power in W or kW. */
export const power = (w) => (w < 1e3 ? `${Math.round(w)}${NBSP}W` : `${(w / 1e3).toLocaleString("en", { maximumFractionDigits: 1 })}${NBSP}kW`);

/** A ratio as a percentage; a small one keeps a digit, and one just short of the whole is not rounded up to it. */
export function percent(ratio) {
  if (!isNumber(ratio)) return UNKNOWN;
  const value = isEven(ratio) ? 0 : ratio * 100;
  const isDelicate = value !== 0 && (Math.abs(value) < 10 || (Math.abs(value) > 99 && Math.abs(value) < 100));
  const cut = isDelicate ? Math.trunc(value * 10) / 10 : Math.round(value);
  return `${digits(cut, isDelicate ? 1 : 0)}${NBSP}%`;
}

/** A whole number with its noun. */
export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")}${NBSP}${count === 1 ? one : many}`;

/** The two largest units that matter. */
export function duration(seconds) {
  if (!isNumber(seconds)) return UNKNOWN;
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))}${NBSP}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes}${NBSP}min`;
  const [larger, smaller, names] = minutes < 1440
    ? [Math.floor(minutes / 60), minutes % 60, ["h", "min"]]
    : [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60), ["d", "h"]];
  return [`${larger}${NBSP}${names[0]}`, ...(smaller ? [`${smaller}${NBSP}${names[1]}`] : [])].join(NBSP);
}

const inUtc = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const CLOCK = inUtc({ hour: "2-digit", minute: "2-digit" });
const DAY = inUtc({ weekday: "short", day: "numeric", month: "short" });
const DATE = inUtc({ day: "numeric", month: "short", year: "numeric" });

/** 14:30 */
export const clock = (ms) => CLOCK.format(ms);

/** Sat 21 Nov */
export const day = (ms) => DAY.format(ms).replace(",", "").replaceAll(" ", NBSP);

/** 14:30 UTC, 21 Nov 2026 */
export const fullInstant = (ms) => `${CLOCK.format(ms)} UTC, ${DATE.format(ms)}`;

/** A sentence of the daemon with its instants as people write them. */
export const withDates = (text) => text
  .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z/g, (instant) => fullInstant(instantMs(instant)))
  .replace(SPAN, (_, day, from, __, untilDay, until) => {
    if (until === undefined) return fullInstant(at(day, from));
    return untilDay ? `${fullInstant(at(day, from))} to ${fullInstant(at(untilDay, until))}` : `${from} to ${fullInstant(at(day, until))}`;
  });

// As the explanations of a plan have it: 2026-11-21 14:30 to 16:00Z, or one instant of the kind.
const SPAN = /(\d{4}-\d\d-\d\d) (\d\d:\d\d)( to (?:(\d{4}-\d\d-\d\d) )?(\d\d:\d\d))?Z/g;
const at = (date, time) => Date.parse(`${date}T${time}Z`);

/** 14:30 on the day of `nowMs`, else with its own day. */
export function instant(ms, nowMs) {
  if (ms === null) return UNKNOWN;
  return day(ms) === day(nowMs) ? clock(ms) : `${clock(ms)} ${day(ms)}`;
}

/** From one instant to another; a day is named once where both lie in it, and both where the clock shows the same time. */
export function span(fromMs, untilMs, nowMs) {
  if (fromMs === null || untilMs === null) return UNKNOWN;
  if (day(fromMs) === day(untilMs) && Math.abs(untilMs - fromMs) < 24 * HOUR_MS) {
    return clock(fromMs) === clock(untilMs) ? instant(fromMs, nowMs) : `${clock(fromMs)}${DASH}${instant(untilMs, nowMs)}`;
  }
  const from = clock(fromMs) === clock(untilMs) ? `${clock(fromMs)} ${day(fromMs)}` : instant(fromMs, nowMs);
  return `${from}${DASH}${instant(untilMs, nowMs)}`;
}
