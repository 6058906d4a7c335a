// A job's output as lines: 100 MB of it without holding more than a part. No DOM here.
// Text comes in pieces with their byte offsets. Each piece is kept as a chunk of whole lines; the text of chunks
// that nobody looked at lately is dropped, and fetched again by its offset when they are scrolled to.
const MOST_HELD = 24 * 1024 * 1024; // characters
const LONGEST_ROW = 4000; // a longer line is shown as several
const LONGEST_REST = 256 * 1024;
const ERROR = "[ERROR] ";
const MOST_ERRORS = 10000;
const encoder = new TextEncoder();
const byteLength = (text) => encoder.encode(text).length;

/** Cut a chunk's text into rows; a lone carriage return starts the line anew, as on a terminal. */
export function rowsOf(text) {
  const rows = [];
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) {
    const end = line.endsWith("\r") ? line.length - 1 : line.length;
    const start = line.lastIndexOf("\r", end - 1) + 1;
    const seen = start || end < line.length ? line.slice(start, end) : line;
    if (seen.length <= LONGEST_ROW) rows.push(seen);
    else for (let at = 0; at < seen.length; at += LONGEST_ROW) rows.push(seen.slice(at, at + LONGEST_ROW));
  }
  return rows;
}

/** Whether a line belongs to an error that the plugin marked; `state` is what the line before left. */
function errorState(state, line) {
  if (line.startsWith(ERROR)) return "marked";
  if (!state) return "";
  if (line.startsWith("Traceback (") || (state === "trace" && /^\s|^$/.test(line))) return "trace";
  if (state === "trace") return "last"; // the line that names the exception
  return /^\s/.test(line) ? state : "";
}

/** The colours that are in force after `text`, as the escape sequences that set them. */
function colours(before, text) {
  let now = before;
  for (const [sequence, codes] of text.matchAll(/\x1b\[([\d;]*)m/g)) {
    now = codes === "" || /^0*$/.test(codes) ? "" : `${now}${sequence}`.slice(-400);
  }
  return now;
}

export class OutputLines {
  /** `fetchText(offset, bytes)` gets text again that was dropped. */
  constructor(fetchText) {
    this.fetchText = fetchText;
    this.reset();
  }

  reset() {
    Object.assign(this, { chunks: [], rows: 0, bytes: 0, held: 0, rest: "", restAt: 0, clock: 0, progress: null, leftOut: 0 });
    Object.assign(this, { colour: "", error: "", errorRows: [] });
    this.version = (this.version ?? 0) + 1;
  }

  /** Add `text`, which starts at byte `offset` and ends before `next`. */
  add(text, offset, next) {
    if (offset > this.bytes) this.#gap(offset);
    this.bytes = next;
    const whole = this.rest + text;
    const cut = Math.max(whole.lastIndexOf("\n") + 1, whole.length - LONGEST_REST);
    this.rest = whole.slice(cut);
    if (cut > 0) {
      const end = next - byteLength(this.rest);
      this.#chunk(whole.slice(0, cut), this.restAt, end);
      this.restAt = end;
    }
    this.#readProgress(whole);
    this.version += 1;
  }

  /** There is no more: what has no line end is a line too. */
  end() {
    if (this.rest) this.#chunk(this.rest, this.restAt, this.bytes);
    this.rest = "";
    this.restAt = this.bytes;
    this.version += 1;
  }

  #gap(offset) {
    this.end();
    const missing = offset - this.bytes;
    this.leftOut += missing;
    this.#chunk(`[... ${missing.toLocaleString()} bytes were not kept ...]\n`, offset, offset, "told");
    this.restAt = offset;
  }

  #chunk(text, from, to, kind = "") {
    const rows = rowsOf(text);
    const chunk = { from, to, text, kind, first: this.rows, count: rows.length, colour: this.colour, error: this.error, used: this.clock };
    if (text.includes("\x1b[")) { chunk.coloured = true; this.colour = colours(this.colour, text); }
    if (this.error || text.includes(ERROR)) {
      chunk.errors = true;
      rows.forEach((row, at) => {
        if (row.startsWith(ERROR) && this.errorRows.length < MOST_ERRORS) this.errorRows.push(this.rows + at);
        this.error = errorState(this.error, row);
      });
    }
    this.chunks.push(chunk);
    this.rows += rows.length;
    this.held += text.length;
    this.#shed();
  }

  #shed() {
    if (this.held <= MOST_HELD) return;
    const loaded = this.chunks.filter((chunk) => chunk.text !== null && !chunk.kind).sort((one, other) => one.used - other.used);
    for (const chunk of loaded.slice(0, -4)) {
      if (this.held <= MOST_HELD * 0.8) return;
      this.held -= chunk.text.length;
      Object.assign(chunk, { text: null, cache: null });
    }
  }

  /** All rows that can be shown: the last may still be growing. */
  get length() {
    return this.rows + (this.rest ? 1 : 0);
  }

  #find(row) {
    let low = 0;
    let high = this.chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.chunks[middle].first <= row) low = middle;
      else high = middle - 1;
    }
    return this.chunks[low];
  }

  #details(chunk) {
    if (chunk.cache) return chunk.cache;
    const rows = rowsOf(chunk.text);
    let { colour, error } = chunk;
    const before = chunk.coloured ? rows.map((row) => { const now = colour; colour = colours(colour, row); return now; }) : null;
    const errors = chunk.errors ? rows.map((row) => (error = errorState(error, row)) !== "") : null;
    chunk.cache = { rows, before, errors };
    return chunk.cache;
  }

  /** Row number `row`: `{text, colour, isError, kind}`, or null while its text is being fetched again. */
  at(row) {
    if (row >= this.rows) return { text: rowsOf(this.rest).at(-1) ?? "", colour: this.colour, isError: false, kind: "" };
    const chunk = this.#find(row);
    chunk.used = ++this.clock;
    if (chunk.text === null) return null;
    const { rows, before, errors } = this.#details(chunk);
    const at = row - chunk.first;
    return { text: rows[at] ?? "", colour: before ? before[at] : chunk.colour, isError: errors ? errors[at] : false, kind: chunk.kind };
  }

  /** Have the text of the rows from `from` to `to` at hand. True when something was fetched. */
  async ensure(from, to) {
    const missing = this.chunks.filter((chunk) => chunk.text === null && chunk.first < to && chunk.first + chunk.count > from);
    for (const chunk of missing) {
      const text = await this.fetchText(chunk.from, chunk.to - chunk.from);
      if (chunk.text !== null) continue;
      Object.assign(chunk, { text, used: ++this.clock });
      this.held += text.length;
    }
    this.#shed();
    return missing.length > 0;
  }

  /** The rows in which `matcher` finds something, up to `most`; gives way to the page now and then. */
  async search(matcher, most, signal) {
    const found = [];
    for (const chunk of [...this.chunks]) {
      if (signal.aborted || found.length >= most) break;
      const text = stripped(chunk.text ?? (await this.fetchText(chunk.from, chunk.to - chunk.from)));
      if (matcher.mayBeIn(text)) rowsOf(text).forEach((row, at) => matcher.test(row) && found.push(chunk.first + at));
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (this.rest && matcher.test(stripped(this.rest))) found.push(this.rows);
    return found.slice(0, most);
  }

  /** The text of the rows from `from` to before `to`, without what steers a terminal. */
  async text(from, to) {
    const parts = [];
    for (const chunk of [...this.chunks]) {
      if (chunk.first >= to || chunk.first + chunk.count <= from) continue;
      const text = chunk.text ?? (await this.fetchText(chunk.from, chunk.to - chunk.from));
      parts.push(...rowsOf(text).slice(Math.max(0, from - chunk.first), to - chunk.first));
    }
    if (this.rest && to > this.rows) parts.push(rowsOf(this.rest).at(-1));
    return stripped(parts.join("\n"));
  }

  #readProgress(text) {
    const tail = text.slice(-4000);
    for (const [, percent, message] of tail.matchAll(/(?:^|\n)::progress[ \t]+(\d{1,3})(?:\.\d+)?%?[ \t]*([^\r\n]*)/g)) {
      this.progress = { percent: Math.min(100, Number(percent)), message };
      this.told = true;
    }
    if (this.told) return;
    const last = tail.split(/[\r\n]+/).filter(Boolean).at(-1) ?? "";
    const match = stripped(last).match(/(?:^|[^\d.])(\d{1,3})(?:\.\d+)?\s?%\s*$/);
    if (match && Number(match[1]) <= 100) this.progress = { percent: Number(match[1]), message: "" };
  }
}

/** Without what steers a terminal: colours, cursor movements, titles. */
export const stripped = (text) => (text.includes("\x1b") ? text.replace(/\x1b(?:\[[\d;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g, "") : text);
