/** Numbers, durations and times as people read them. Times are RFC 3339 strings or milliseconds since 1970. */

const NUMBER = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The zone in which times are shown and typed. */
export const zone = { utc: kept("zone") === "utc" };

/** Show and read times in UTC, or in the viewer's zone. */
export function useUtc(utc) {
  zone.utc = utc;
  keep("zone", utc ? "utc" : "local");
}

/** A small setting of this browser; null where it is absent or storage is forbidden. */
export function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Keep a small setting of this browser, where it allows that. */
export function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It holds until the page is closed.
  }
}

export function number(value) {
  return value === undefined || value === null ? "-" : NUMBER.format(value);
}

/** A measured rate: above 10 its fraction is noise. */
export function rate(value) {
  return number(value > 10 ? Math.round(value) : value);
}

export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

export function duration(ms) {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Milliseconds of a duration such as 30s, 2m or 24h; null if it is none. */
export function parseDuration(text) {
  const found = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text.trim());
  return found ? Math.round(Number(found[1]) * UNITS[found[2]]) : null;
}

/** A duration as the command line takes it. */
export function shortDuration(ms) {
  for (const unit of ["d", "h", "m", "s"]) {
    if (ms >= UNITS[unit] && ms % UNITS[unit] === 0) return `${ms / UNITS[unit]}${unit}`;
  }
  return `${ms}ms`;
}

export function ms(time) {
  return typeof time === "number" ? time : Date.parse(time);
}

export function iso(time) {
  return new Date(ms(time)).toISOString();
}

const two = (value) => String(value).padStart(2, "0");

function parts(time) {
  const at = new Date(ms(time));
  if (zone.utc) {
    const text = at.toISOString();
    return [text.slice(0, 10), text.slice(11, 19), text.slice(19, 23)];
  }
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return [date, clock, `.${String(at.getMilliseconds()).padStart(3, "0")}`];
}

/** Date and time in the chosen zone, with milliseconds where there are any. */
export function exact(time) {
  const [date, clock, rest] = parts(time);
  return `${date} ${clock}${rest === ".000" ? "" : rest}`;
}

/** The time alone if it is today, else with its date. */
export function brief(time) {
  const [date, clock] = parts(time);
  return date === parts(Date.now())[0] ? clock : `${date} ${clock.slice(0, 5)}`;
}

/**
 * Milliseconds since 1970 of what someone typed: 2h (ago, or ahead), 14:30, 2026-11-29, 2026-11-29 14:30, or ISO with
 * a zone. Without one the chosen zone is meant. null if it cannot be read.
 */
export function parseTime(text, ahead = false) {
  const typed = text.trim();
  const length = parseDuration(typed);
  if (length !== null) return Date.now() + (ahead ? length : -length);
  const clock = /^\d{1,2}:\d{2}(:\d{2})?$/.test(typed) ? `${parts(Date.now())[0]}T${typed.indexOf(":") === 1 ? "0" : ""}${typed}` : typed;
  const whole = /^\d{4}-\d{2}-\d{2}$/.test(clock) ? `${clock}T00:00` : clock.replace(" ", "T");
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/.test(whole)) return null;
  const zoned = /(Z|[+-]\d{2}:?\d{2})$/i.test(whole);
  const at = Date.parse(zoned || !zone.utc ? whole : `${whole}Z`);
  return Number.isNaN(at) ? null : at;
}
