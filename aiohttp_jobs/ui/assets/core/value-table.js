// A JSON value as a table, where it is one: a list of objects, or one object of plain values. Pure.

const MOST_COLUMNS = 30;

const isPlain = (value) => value === null || typeof value !== "object";
const isObject = (value) => !isPlain(value) && !Array.isArray(value);

/** What a cell shows: text as it is, anything else as JSON; nothing for what is not there or null. */
export function cellText(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** `{columns, rows}`, each row as long as `columns`; null for what is no table. */
export function tableOf(value) {
  if (isObject(value)) {
    const entries = Object.entries(value);
    return entries.length && entries.every(([, one]) => isPlain(one))
      ? { columns: ["Name", "Value"], rows: entries }
      : null;
  }
  if (!Array.isArray(value) || !value.length || !value.every(isObject)) return null;
  const columns = [...new Set(value.flatMap(Object.keys))];
  if (!columns.length || columns.length > MOST_COLUMNS) return null;
  return { columns, rows: value.map((one) => columns.map((name) => (Object.hasOwn(one, name) ? one[name] : null))) };
}

/** How it is shown where it is no table. */
export const jsonText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
