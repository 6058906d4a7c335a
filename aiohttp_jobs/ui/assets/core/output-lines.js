// A job's output as rows: 100 MB of it without holding more than a part. No DOM here.
// Text comes in pieces with their byte offsets. They are kept as chunks, each with what the terminal had in its last
// row when it began; the text of chunks that nobody looked at lately is dropped, and fetched again by its offset.
import { Terminal, isPlain, textOf } from "./terminal.js";

const MOST_HELD = 24 * 1024 * 1024; // characters
const CHUNK = 256 * 1024; // small pieces are put together up to this many characters
const ERROR = /^\[(ERROR|EXCEPTION)\] /;
const FRAME = /^at .+: line \d+$/; // of PowerShell
const MOST_ERRORS = 10000;

/** Whether a line belongs to an error that the plugin marked; `state` is what the line before left. */
function errorState(state, line) {
  if (ERROR.test(line)) return "marked";
  if (!state) return "";
  if (line.startsWith("Traceback (") || (state === "trace" && /^\s|^$/.test(line))) return "trace";
  if (state === "trace") return "last"; // the line that names the exception
  return /^\s/.test(line) || FRAME.test(line) ? state : "";
}

export class OutputLines {
  version = 0;

  /** `fetchText(offset, bytes)` gets text again that was dropped. */
  constructor(fetchText) {
    this.fetchText = fetchText;
    this.reset();
  }

  reset() {
    this.chunks = [];
    this.rows = 0;
    this.bytes = 0;
    this.held = 0;
    this.clock = 0;
    this.progress = null;
    this.told = false;
    this.tail = "";
    this.leftOut = 0;
    this.terminal = new Terminal();
    this.last = "";
    this.error = "";
    this.errorRows = [];
    this.version += 1;
  }

  /** Add `text`, which starts at byte `offset` and ends before `next`. */
  add(text, offset, next) {
    if (offset > this.bytes) this.#gap(offset);
    this.bytes = next;
    const chunk = this.#open(offset, text.length);
    chunk.text += text;
    chunk.to = next;
    this.held += text.length;
    this.#take(chunk, this.terminal.write(text));
    this.#readProgress(text);
    this.#shed();
    this.version += 1;
  }

  /** There is no more: what has no line end is a line too. */
  end() {
    const rows = this.terminal.end();
    const chunk = this.chunks.at(-1);
    if (chunk && !chunk.isWhole) {
      chunk.isWhole = true;
      this.#take(chunk, rows);
    }
    this.version += 1;
  }

  #gap(offset) {
    this.end();
    this.terminal = new Terminal();
    const missing = offset - this.bytes;
    this.leftOut += missing;
    const text = `[... ${missing.toLocaleString()} bytes were not kept ...]\n`;
    const chunk = this.#begin(offset, "told");
    Object.assign(chunk, { text, isWhole: true });
    this.held += text.length;
    this.#take(chunk, this.terminal.write(text));
  }

  /** The chunk that goes on at byte `offset` with `more` characters. */
  #open(offset, more) {
    const chunk = this.chunks.at(-1);
    const goesOn = chunk && !chunk.isWhole && chunk.text.length + more <= CHUNK;
    return goesOn ? chunk : this.#begin(offset);
  }

  #begin(from, kind = "") {
    const chunk = {
      from,
      to: from,
      text: "",
      kind,
      first: this.rows,
      count: 0,
      state: this.terminal.state(),
      error: this.error,
      used: this.clock,
    };
    this.chunks.push(chunk);
    return chunk;
  }

  /** Count `rows` to `chunk`, and those of them that are errors. */
  #take(chunk, rows) {
    for (const row of rows) {
      const text = textOf(row);
      if (this.error || (text[0] === "[" && ERROR.test(text))) {
        chunk.hasErrors = true;
        if (ERROR.test(text) && this.errorRows.length < MOST_ERRORS) this.errorRows.push(this.rows);
        this.error = errorState(this.error, text);
      }
      if (chunk.cache) { chunk.cache.rows.push(row); chunk.cache.errors.push(this.error !== ""); }
      this.rows += 1;
    }
    chunk.count += rows.length;
    this.last = this.terminal.row();
  }

  #shed() {
    if (this.held <= MOST_HELD) return;
    const loaded = this.chunks.filter((chunk) => chunk.text !== null && !chunk.kind).sort((one, other) =>
      one.used - other.used
    );
    for (const chunk of loaded.slice(0, -4)) {
      if (this.held <= MOST_HELD * 0.8) return;
      if (chunk === this.chunks.at(-1)) continue;
      this.held -= chunk.text.length;
      Object.assign(chunk, { text: null, cache: null });
    }
  }

  /** All rows that can be shown: the last may still be growing. */
  get length() {
    return this.rows + (textOf(this.last) ? 1 : 0);
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

  /** `{rows, errors}` of a chunk whose text is at hand. */
  #details(chunk) {
    if (chunk.cache) return chunk.cache;
    const rows = rowsOf(chunk, chunk.text);
    let { error } = chunk;
    const errors = rows.map((row) => chunk.hasErrors && (error = errorState(error, textOf(row))) !== "");
    chunk.cache = { rows, errors };
    return chunk.cache;
  }

  /** Row number `row`: `{text, styles, isError, kind}`, or null while its text is being fetched again. */
  at(row) {
    if (row >= this.rows) return { ...shown(this.last), isError: false, kind: "" };
    const chunk = this.#find(row);
    chunk.used = ++this.clock;
    if (chunk.text === null) return null;
    const { rows, errors } = this.#details(chunk);
    const at = row - chunk.first;
    return { ...shown(rows[at] ?? ""), isError: errors[at] ?? false, kind: chunk.kind };
  }

  /** Have the text of the rows from `from` to `to` at hand. True when something was fetched. */
  async ensure(from, to) {
    const missing = this.chunks.filter((chunk) =>
      chunk.text === null && chunk.first < to && chunk.first + chunk.count > from
    );
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
      const text = chunk.text ?? (await this.fetchText(chunk.from, chunk.to - chunk.from));
      const mayBe = !isPlain(text) || chunk.state.cells.length || matcher.mayBeIn(text);
      if (mayBe) rowsOf(chunk, text).forEach((row, at) => matcher.test(textOf(row)) && found.push(chunk.first + at));
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (matcher.test(textOf(this.last)) && textOf(this.last)) found.push(this.rows);
    return found.slice(0, most);
  }

  /** The text of the rows from `from` to before `to`, without what steers a terminal. */
  async text(from, to) {
    const parts = [];
    for (const chunk of [...this.chunks]) {
      if (chunk.first >= to || chunk.first + chunk.count <= from) continue;
      const text = chunk.text ?? (await this.fetchText(chunk.from, chunk.to - chunk.from));
      for (const row of rowsOf(chunk, text).slice(Math.max(0, from - chunk.first), to - chunk.first))
        parts.push(textOf(row));
    }
    if (textOf(this.last) && to > this.rows) parts.push(textOf(this.last));
    return parts.join("\n");
  }

  #readProgress(text) {
    this.tail = (this.tail + text).slice(-4000);
    for (
      const [, percent, message] of this.tail.matchAll(/(?:^|\n)::progress[ \t]+(\d{1,3})(?:\.\d+)?%?[ \t]*([^\r\n]*)/g)
    ) {
      this.progress = { percent: Math.min(100, Number(percent)), message };
      this.told = true;
    }
    if (this.told || !this.tail.includes("%")) return;
    const [, percent] = this.#lastText().match(/(?:^|[^\d.])(\d{1,3})(?:\.\d+)?\s?%\s*$/) ?? [];
    if (percent !== undefined && Number(percent) <= 100) this.progress = { percent: Number(percent), message: "" };
  }

  /** The last row in which there is something. */
  #lastText() {
    const open = textOf(this.last);
    if (open || !this.chunks.length) return open;
    const lines = new Terminal().write(`${this.tail}\n`);
    return lines.map(textOf).filter((line) => line.trim()).at(-1) ?? "";
  }
}

/** The rows that end in `chunk`, whose text is `text`. */
function rowsOf(chunk, text) {
  const terminal = new Terminal(chunk.state);
  const rows = terminal.write(text);
  return chunk.isWhole ? [...rows, ...terminal.end()] : rows;
}

const shown = (row) => (typeof row === "string" ? { text: row, styles: null } : row);
