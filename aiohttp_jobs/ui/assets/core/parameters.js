// The values of parameters as a form has them, of templates and of functions alike: what it begins with, what is wrong
// with what was entered, and what is sent. Pure.
// In a form a value is text, "true" or "false" of a checkbox, an array of these of a list, and null for "none".

const UNSET = (value) => value === undefined || value === null || value === "";
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** A moment as an input of type datetime-local shows it: on the user's own clock, to the second. */
function toLocal(text) {
  const when = new Date(text);
  if (Number.isNaN(when.getTime())) return "";
  return new Date(when.getTime() - when.getTimezoneOffset() * 60000).toISOString().slice(0, 19).replace(/:00$/, "");
}

/** What an entry shows of `json`. */
function toEntry(one, json) {
  if (UNSET(json)) return "";
  if (one.type === "list") return json.map((item) => toEntry(inList(one.items), item));
  if (one.type === "datetime") return toLocal(json);
  if (one.type === "time") return String(json).slice(0, 8).replace(/^(\d\d:\d\d):00$/, "$1");
  return typeof json === "object" ? JSON.stringify(json, null, 2) : String(json);
}

/** What a list takes, as entries know it: a list in a list is entered as JSON. */
export const inList = (items) => (items.type === "list" ? { ...items, type: "json" } : items);

/** Whether "none" is a value of its own, which leaving it out would not give. */
export const canBeNone = (one) => Boolean(one.nullable) && (Boolean(one.required) || !UNSET(one.default));

const isTick = (one) => one.type === "bool" && !one.nullable;

function initial(one) {
  const entry = toEntry(one, one.default);
  if (one.type === "list") return entry || Array(Math.max(one.minItems ?? 0, one.required ? 1 : 0)).fill("");
  return isTick(one) ? entry || "false" : entry;
}

/** What a form starts with. */
export const initialValues = (parameters) => Object.fromEntries(parameters.map((one) => [one.name, initial(one)]));

/** Values of an earlier run as a form has them; those of parameters that are no more are left out. */
export const entriesOf = (parameters, values) =>
  Object.fromEntries(
    parameters.filter((one) => values?.[one.name] !== undefined && one.type !== "secret").map((one) => {
      const value = values[one.name];
      return [one.name, value === null ? (canBeNone(one) ? null : initial(one)) : toEntry(one, value)];
    }),
  );

/** A pattern as the server reads it: of the whole value, or for functions anywhere in it. One that the browser cannot
 * read is left to the server. */
function matches({ pattern, anywhere }, value) {
  try {
    return new RegExp(anywhere ? pattern : `^(?:${pattern})$`, "u").test(value);
  } catch {
    return true;
  }
}

function boundFault({ minimum, maximum }, number) {
  if (!UNSET(minimum) && number < minimum) return `Enter ${minimum} or more.`;
  return !UNSET(maximum) && number > maximum ? `Enter ${maximum} or less.` : "";
}

function wholeFault(one, value) {
  if (!/^[+-]?\d+$/.test(value)) return "Enter a whole number.";
  const number = Number(value);
  if (!Number.isSafeInteger(number)) return "It is too large for this form; the API takes it.";
  const isRisky = number < 0 && UNSET(one.minimum) && !one.allowLeadingDash;
  return boundFault(one, number) || (isRisky ? "It must not be negative." : "");
}

function textFault(one, value) {
  const { length } = [...value];
  if (length < one.minLength) return `Use ${one.minLength} characters or more.`;
  if (length > one.maxLength) return `Use at most ${one.maxLength} characters.`;
  if (one.pattern && !matches(one, value)) return `It must match ${one.pattern}`;
  return value.startsWith("-") && !one.allowLeadingDash ? "It must not start with a dash." : "";
}

function jsonFault(value, isRight, what) {
  try {
    return isRight(JSON.parse(value)) ? "" : `Enter ${what}.`;
  } catch (error) {
    return `Enter ${what} as JSON. ${error.message}`;
  }
}

const isObject = (json) => json !== null && typeof json === "object" && !Array.isArray(json);
const numberFault = (one, value) => (NUMBER.test(value) ? boundFault(one, Number(value)) : "Enter a number.");
const momentFault = (value, words) => (Number.isNaN(Date.parse(value)) ? words : "");
const FAULTS = {
  int: wholeFault,
  number: numberFault,
  decimal: numberFault,
  string: textFault,
  secret: textFault,
  date: (_, value) => momentFault(value, "Choose a day."),
  datetime: (_, value) => momentFault(value, "Choose a day and a time."),
  uuid: (_, value) => (UUID.test(value) ? "" : "Enter a UUID, such as 123e4567-e89b-12d3-a456-426614174000."),
  object: (_, value) => jsonFault(value, isObject, "an object"),
  json: (_, value) => jsonFault(value, Array.isArray, "a list"),
};

function listFaults(one, items) {
  const found = {};
  if (items.length < one.minItems) found[one.name] = `Add ${one.minItems} or more.`;
  if (items.length > one.maxItems) found[one.name] = `Keep ${one.maxItems} or fewer.`;
  const each = inList(one.items);
  items.forEach((value, at) => {
    const fault = UNSET(value) ? "Fill this in, or remove it." : FAULTS[each.type]?.(each, value);
    if (fault) found[`${one.name}.${at}`] = fault;
  });
  return found;
}

function faultsOf(one, value) {
  if (value === null) return {};
  if (one.type === "list") return listFaults(one, value);
  const isMissing = UNSET(value) && one.required !== false && UNSET(one.default);
  const fault = UNSET(value) ? (isMissing ? "Fill this in." : "") : FAULTS[one.type]?.(one, value);
  return fault ? { [one.name]: fault } : {};
}

/** `{name: sentence}` of the values that cannot be sent; of a list's items `{"name.0": sentence}`. */
export const valueFaults = (parameters, values) =>
  Object.assign({}, ...parameters.map((one) => faultsOf(one, values[one.name])));

function toJSON(one, value) {
  if (one.type === "list") return value.map((item) => toJSON(inList(one.items), item));
  if (one.type === "int" || one.type === "number") return Number(value);
  if (one.type === "bool") return value === "true";
  if (one.type === "choice") return (one.choices ?? []).find((choice) => String(choice) === value) ?? value;
  if (one.type === "datetime") return new Date(value).toISOString();
  return one.type === "object" || one.type === "json" ? JSON.parse(value) : value;
}

const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** `[value]` to send, or nothing: what is not given has the default of whoever made the parameter. */
function sent(one, value) {
  const isOptional = one.required === false;
  if (isOptional && isSame(value, initial(one))) return [];
  if (value === null) return [null];
  if (!UNSET(value)) return [toJSON(one, value)];
  return isOptional && one.type === "string" && !UNSET(one.default) ? [""] : [];
}

/** The values as the API takes them, of parameters without faults. */
export const toValues = (parameters, values) =>
  Object.fromEntries(parameters.flatMap((one) => sent(one, values[one.name]).map((value) => [one.name, value])));

/** What an object may look like, by its JSON schema: for an empty entry to show. */
export function exampleOf(schema, definitions = schema?.$defs ?? {}, depth = 0) {
  const named = schema?.$ref ? definitions[schema.$ref.split("/").at(-1)] : schema;
  if (!named || depth > 4) return null;
  if (named.default !== undefined) return named.default;
  if (named.enum) return named.enum[0];
  if (named.anyOf) return exampleOf(named.anyOf[0], definitions, depth + 1);
  const blanks = { string: "", integer: 0, number: 0, boolean: false, array: [] };
  if (named.type !== "object") return blanks[named.type] ?? null;
  const parts = Object.entries(named.properties ?? {});
  return Object.fromEntries(parts.map(([name, part]) => [name, exampleOf(part, definitions, depth + 1)]));
}
