// Numbers and moments as people read them, in the browser's language and time zone.
const BYTE_UNITS = ["B", "KB", "MB", "GB"];
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "narrow" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, {
  weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
});

const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
export const formatDay = (iso) => (iso ? day.format(new Date(iso)) : "");

export const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** The time and, unless it is today, the day. */
export function formatNear(iso) {
  if (!iso) return "";
  const when = new Date(iso);
  return when.toDateString() === new Date().toDateString() ? clock.format(when) : moment.format(when);
}

export const formatMoment = (iso) => (iso ? moment.format(new Date(iso)) : "");
export const formatShort = (iso) => (iso ? short.format(new Date(iso)) : "");

/** "3 min ago", "in 2 h"; seconds are not counted, so that a list stays calm. */
export function formatAge(iso, now = Date.now()) {
  const seconds = (new Date(iso).getTime() - now) / 1000;
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return seconds > 5 ? `in ${Math.ceil(seconds)} s` : "just now";
}

/** 0.123 s, 12.3 s, 3 min 05 s, 2 h 04 min. */
export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

export function formatBytes(bytes) {
  if (bytes === null || bytes === undefined) return "";
  const power = Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log(Math.max(1, bytes)) / Math.log(1024)));
  const value = bytes / 1024 ** power;
  return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${BYTE_UNITS[power]}`;
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${number === 1 ? one : many}`;
