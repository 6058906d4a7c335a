// Cron lines as sentences that say exactly when they fire, as the server does: see `schedule/cron.py`. Pure.
const FORMS = {
  "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
};
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS = [
  "",
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const NTH = ["", "first", "second", "third", "fourth", "fifth"];
const MINUTE = { first: 0, last: 59 }, HOUR = { first: 0, last: 23 }, DAY = { first: 1, last: 31 };
const MONTH = { first: 1, last: 12, names: MONTHS }, WEEKDAY = { first: 0, last: 7, names: DAYS };
const MOST_TIMES = 6;
const LIST_FROM = 5;

function number(text, { first, last, names }) {
  const named = names?.findIndex((name) => name && name.slice(0, 3).toUpperCase() === text) ?? -1;
  const value = named >= 0 ? named : /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= first && value <= last)) throw new RangeError(text);
  return value;
}

function* termNumbers(term, field) {
  const [range, step = "1"] = term.split("/");
  const [from, until] = range === "*" ? [String(field.first), String(field.last)] : range.split("-");
  const first = number(from, field);
  const open = term.includes("/") ? field.last : first;
  let last = until === undefined ? open : number(until, field);
  if (last < first && until === "SUN") last = 7;
  const isNoRange = term.includes("/") && until !== undefined && last === first;
  if (!/^\d+$/.test(step) || Number(step) < 1 || last < first || isNoRange) throw new RangeError(term);
  for (let value = first; value <= last; value += Number(step)) yield value;
}

const sorted = (values) => [...new Set(values)].sort((a, b) => a - b);
const numbers = (text, field) => sorted(text.split(",").flatMap((term) => [...termNumbers(term, field)]));

function readDays(text) {
  const terms = text.split(",");
  return {
    days: sorted(terms.filter((term) => !/^LW?$/.test(term)).flatMap((term) => [...termNumbers(term, DAY)])),
    special: [terms.includes("L") && "last day", terms.includes("LW") && "last day from Monday to Friday"].filter(
      Boolean,
    ),
  };
}

function readWeekdays(text) {
  const terms = text.split(","), isPlain = (term) => !/[L#]/.test(term);
  const special = terms.filter((term) => !isPlain(term)).map((term) => {
    const [, day, nth] = term.match(/^([^L#]+)(?:L|#([1-5]))$/) ?? [];
    return `${nth ? NTH[nth] : "last"} ${DAYS[number(day ?? "", WEEKDAY)]}`;
  });
  // Monday first, so that a weekend is one range.
  return {
    days: sorted(terms.filter(isPlain).flatMap((term) => [...termNumbers(term, WEEKDAY)]).map((day) => day || 7)),
    special,
  };
}

function joined(words, and = "and") {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} ${and} ${words.at(-1)}`;
}

/** "1, 3 and 5", "1 to 4 and 9", or "0, 7, 14 … 56" where the steps are all the same. */
/** @param {(value: number) => string} name */
function listed(values, name = String, and = "and") {
  const step = values[1] - values[0];
  if (
    step > 1 && values.length > LIST_FROM && name === String &&
    values.every((value, at) => value === values[0] + at * step)
  ) {
    return `${values.slice(0, 3).join(", ")} … ${values.at(-1)}`;
  }
  const runs = [];
  for (const value of values) {
    if (value - 1 === runs.at(-1)?.at(-1)) runs.at(-1).push(value);
    else runs.push([value]);
  }
  return joined(
    runs.flatMap((run) => (run.length > 2 ? [`${name(run[0])} to ${name(run.at(-1))}`] : run.map(name))),
    and,
  );
}

const clock = (hour, minute) => [hour, minute].map((part) => String(part).padStart(2, "0")).join(":");
const counted = (noun, values) => `${noun}${values.length > 1 ? "s" : ""} ${listed(values)}`;

function minuteWords(minutes) {
  const step = minutes.length > 1 ? minutes[1] - minutes[0] : 60;
  if (minutes.length === 60) return "Every minute";
  if (
    minutes[0] === 0 && minutes.length > 1 && minutes.length * step === 60 &&
    minutes.every((minute, at) => minute === at * step)
  ) return `Every ${step} minutes`;
  return `At ${counted("minute", minutes)}`;
}

function timeWords(minutes, hours) {
  if (hours.length * minutes.length <= MOST_TIMES) {
    return `At ${joined(hours.flatMap((hour) => minutes.map((minute) => clock(hour, minute))))}`;
  }
  const words = minuteWords(minutes);
  if (hours.length === 24) return words.startsWith("Every") ? words : `${words} of every hour`;
  return `${words} of the ${counted("hour", hours)}`;
}

const dayWords = ({ days, special }) => {
  const first = special.length || days.length < 2 ? "day" : "days";
  const parts = [...(days.length ? [`${first} ${listed(days)}`] : []), ...special.map((word) => `the ${word}`)];
  return `on ${joined(parts)} of the month`;
};
const weekdayList = ({ days, special }, and) =>
  joined([
    ...(days.length ? [listed(days, (day) => DAYS[day], and)] : []),
    ...special.map((word) => `the ${word} of the month`),
  ], and);

function dateWords(days, weekdays, isBoth) {
  const everyDay = days.days.length === 31, everyWeekday = weekdays.days.length === 7;
  if (!isBoth)
    return everyDay || everyWeekday ? "every day" : `${dayWords(days)} or on ${weekdayList(weekdays, "and")}`;
  if (everyDay) return everyWeekday ? "every day" : `on ${weekdayList(weekdays, "and")}`;
  return everyWeekday ? dayWords(days) : `${dayWords(days)}, if that is ${weekdayList(weekdays, "or")}`;
}

/** When `cron` fires, in words; empty for what is no cron line, of which the server says what is wrong with it. */
export function sentence(cron) {
  const line = cron.trim();
  const fields = (FORMS[line.toLowerCase()] ?? line).toUpperCase().split(/\s+/);
  if (fields.length !== 5) return "";
  try {
    const [minutes, hours] = [numbers(fields[0], MINUTE), numbers(fields[1], HOUR)];
    const months = numbers(fields[3], MONTH);
    // Debian's rule: both must fit where one of the two starts with a star, else either.
    const isBoth = fields[2].startsWith("*") || fields[4].startsWith("*");
    const date = dateWords(readDays(fields[2]), readWeekdays(fields[4]), isBoth);
    const time = timeWords(minutes, hours);
    const season = months.length < 12 ? `, in ${listed(months, (month) => MONTHS[month])}` : "";
    const goesWithoutSaying = date === "every day" && !season && !/^At \d/.test(time);
    return `${time}${goesWithoutSaying ? "" : `, ${date}`}${season}`;
  } catch (error) {
    if (error instanceof RangeError) return "";
    throw error;
  }
}
