// What output looks like once a terminal has printed it: a model of lines, not of a screen. No DOM here.
// It does what `terminal.py` does, to which `tests/cases/terminal.json` holds both, and keeps the colours.
//
// A row is a string where nothing has a colour, or else `{text, styles}`: `styles` are `[from, style]`, each until
// the next. A style is null or `{foreground, background, bold, …}`; a colour is its number or `[red, green, blue]`.

export const ROW = 4000; // columns; a longer line goes on in further rows, and the cursor moves in the last of them
const FURTHEST = 256;
const TAB = 8;
const LONGEST_SEQUENCE = 256;
const CONTROL = /[\x1b\r\b\0\x07\x0e\x0f]/;
// What moves nothing, and draws nothing, as long as nothing else in the line does.
const STILL = /\x1b(?:\[(?:([\d;:]*)m|0?K|\?[\d;]*[hl])|\][^\x07\x1b\n]*\x07?|\\|[()*+][0-~])/y;
const TOKEN = new RegExp([
  "([^\\t\\0\\x07\\b\\x0e\\x0f\\r\\x1b]+)",
  "\\x1b\\[([\\d;:]*)([@CDEFGHJKPX`afmsu])",
  "\\x1b\\[[0-?]*[ -/]*[@-~]?", // of no effect on the text of a line
  "\\x1b\\][^\\x07\\x1b\\n]*\\x07?|\\x1b[PX^_][^\\x1b\\n]*", // OSC, then DCS, SOS, PM, APC; the "ESC \" comes by itself
  "\\x1b[ -/]+[0-~]?|\\x1b[0-~]?|[\\t\\0\\x07\\b\\x0e\\x0f\\r]",
].join("|"), "g");
const UNFINISHED = /^\x1b(?:\[[0-?]*[ -/]*|[ -/]*)$/;
const UNFINISHED_TEXT = /^(\x1b(?:\](?!.*\x07)|[PX^_]))[^\x1b\n]*$/;
const DECORATIONS = {
  1: "bold",
  2: "dim",
  3: "italic",
  4: "underline",
  7: "reverse",
  8: "hidden",
  9: "strikethrough",
  53: "overline",
};
const ENDS = {
  21: ["underline"],
  22: ["bold", "dim"],
  23: ["italic"],
  24: ["underline"],
  27: ["reverse"],
  28: ["hidden"],
  29: ["strikethrough"],
  55: ["overline"],
};

function withoutReturns(line) {
  let end = line.length;
  while (end > 0 && line[end - 1] === "\r") end -= 1;
  return end < line.length ? line.slice(0, end) : line;
}

/** Whether there is nothing in `text` that a terminal would obey, but line feeds. */
export const isPlain = (text) => !CONTROL.test(text);

const hasPairs = (text) => /[\ud800-\udbff]/.test(text);

/** The number at `place` of a sequence; where there is none, and for 0 in place of 1, `otherwise`. */
function numberAt(numbers, otherwise, place = 0) {
  const found = numbers.split(";")[place]?.split(":")[0];
  return found ? Math.min(Number(found.slice(-9)), ROW) || otherwise : otherwise;
}

/** The colour that begins at `codes[at]` (38, 48 or 58), and where the next code is. */
function extendedColour(codes, at) {
  const own = codes[at].split(":");
  if (own.length > 1) {
    if (own[1] === "5") return [Number(own[2]) & 255, at + 1];
    const parts = own.slice(own.length > 5 ? 3 : 2).slice(0, 3).map((part) => Number(part) & 255);
    return [own[1] === "2" && parts.length === 3 ? parts : undefined, at + 1];
  }
  if (codes[at + 1] === "5") return [Number(codes[at + 2]) & 255, at + 3];
  if (codes[at + 1] === "2") return [[2, 3, 4].map((place) => Number(codes[at + place]) & 255), at + 5];
  return [undefined, at + 2];
}

const known = new Map(); // the styles of a few sequences, which are many times the same
const MOST_KNOWN = 1000;
const COLOURED = { 38: "foreground", 48: "background", 58: "" };

/** What one code makes of `style`, which it changes. */
function applyCode(style, code, detail) {
  if (code === 4 && detail === "0") delete style.underline;
  else if (DECORATIONS[code]) style[DECORATIONS[code]] = true;
  else if (ENDS[code]) for (const name of ENDS[code]) delete style[name];
  else if (code >= 30 && code <= 37) style.foreground = code - 30;
  else if (code >= 40 && code <= 47) style.background = code - 40;
  else if (code >= 90 && code <= 97) style.foreground = code - 82;
  else if (code >= 100 && code <= 107) style.background = code - 92;
  else if (code === 39) delete style.foreground;
  else if (code === 49) delete style.background;
}

/** The style after the sequence with the parameters `numbers` (SGR), where `before` was in force. */
export function styleAfter(before, numbers) {
  if (numbers === "" || numbers === "0") return null;
  if (before) return changed(before, numbers);
  if (!known.has(numbers)) {
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(numbers, changed(null, numbers));
  }
  return known.get(numbers);
}

function changed(before, numbers) {
  let style = { ...before };
  const codes = numbers.split(";");
  for (let at = 0; at < codes.length;) {
    const [code, detail] = codes[at].split(":");
    if (code in COLOURED) {
      const [colour, next] = extendedColour(codes, at);
      if (colour !== undefined && COLOURED[code]) style[COLOURED[code]] = colour;
      at = next;
      continue;
    }
    if (Number(code) === 0) style = {};
    else applyCode(style, Number(code), detail);
    at += 1;
  }
  return Object.keys(style).length ? style : null;
}

const EMPTY_ROW = {
  cells: [],
  styles: [],
  column: 0,
  saved: 0,
  isDrawnOver: false,
  hasTabs: false,
  isContinued: false,
};
const BEGINNING = { ...EMPTY_ROW, unfinished: "", style: null };

/** Takes text in pieces and gives back the rows that are final. Holds one row, however long the line is. */
export class Terminal {
  final = [];

  constructor(state = BEGINNING) {
    this.cells = state.cells.slice();
    this.styles = state.styles.slice();
    this.column = state.column;
    this.saved = state.saved;
    this.isDrawnOver = state.isDrawnOver;
    this.hasTabs = state.hasTabs;
    this.isContinued = state.isContinued;
    this.unfinished = state.unfinished;
    this.style = state.style;
  }

  /** All there is to go on from here with another `Terminal`. */
  state() {
    const { unfinished, style, column, saved, isDrawnOver, hasTabs, isContinued } = this;
    return {
      unfinished,
      style,
      column,
      saved,
      isDrawnOver,
      hasTabs,
      isContinued,
      cells: this.cells.slice(),
      styles: this.styles.slice(),
    };
  }

  /** The rows that `text` makes final. */
  write(text) {
    const whole = this.#wholeSequences(this.unfinished ? this.unfinished + text : text);
    const end = whole.lastIndexOf("\n") + 1;
    if (end > 0) {
      const first = this.#hasBegun ? whole.indexOf("\n") + 1 : 0;
      if (first > 0) this.#drawLine(whole.slice(0, first - 1));
      if (end > first) this.#writeLines(whole.slice(first, end));
    }
    this.#draw(end > 0 ? whole.slice(end) : whole);
    const rows = this.final;
    this.final = [];
    return rows;
  }

  /** What has no line feed yet makes a row, if there is any. The next piece starts a new line. */
  end() {
    this.unfinished = "";
    const row = this.row();
    this.#clearRow();
    return textOf(row) ? [row] : [];
  }

  /** What has no line feed yet, as it is seen now. */
  row() {
    let text = this.cells.join("");
    if (this.isDrawnOver) text = text.replace(/ +$/, "");
    if (!this.styles.some(Boolean)) return text;
    const styles = [];
    let at = 0;
    for (let column = 0; column < this.cells.length && at < text.length; column += 1) {
      const style = this.styles[column] ?? null;
      if (!styles.length || styles.at(-1)[1] !== style) styles.push([at, style]);
      at += this.cells[column].length;
    }
    return { text, styles };
  }

  get #hasBegun() {
    return this.cells.length > 0 || this.column > 0 || this.saved > 0 || this.isDrawnOver || this.isContinued;
  }

  #writeLines(text) {
    const lines = (text.includes("\r\n") ? text.replaceAll("\r\n", "\n") : text).split("\n");
    lines.pop();
    if (
      !this.#hasBegun && !this.style && !CONTROL.test(text.includes("\r") ? lines.join("") : text) &&
      lines.every((line) => line.length <= ROW / TAB)
    ) {
      this.final = this.final.length ? this.final.concat(lines) : lines;
      return;
    }
    for (const line of lines) {
      if (this.#hasBegun || !this.#writeStill(line)) this.#drawLine(line);
    }
  }

  #drawLine(line) {
    this.#draw(line);
    const row = this.row();
    if (!this.isContinued || textOf(row)) this.final.push(row);
    this.#clearRow();
  }

  /** Make rows of a line in which nothing moves; false if something may, or its columns have to be counted. */
  #writeStill(line) {
    let plain = line;
    let row = line;
    if (this.style || CONTROL.test(line)) {
      row = this.#coloured(withoutReturns(line));
      if (row === null) return false;
      plain = textOf(row);
    }
    if (plain.length > ROW / TAB && (plain.length > ROW || plain.includes("\t"))) {
      if (row !== plain || plain.includes("\t") || hasPairs(plain)) return false;
      for (let at = 0; at < plain.length; at += ROW) this.final.push(plain.slice(at, at + ROW));
      return true;
    }
    if (row !== plain) this.style = this.styleBehind;
    this.final.push(simplified(row));
    return true;
  }

  /** The row of a line in which nothing moves, with the style behind it in `styleBehind`; null if something may. */
  #coloured(line) {
    const parts = [];
    const styles = [];
    let style = this.style;
    let length = 0;
    let from = 0;
    const add = (to) => {
      if (to === from) return;
      if (!styles.length || styles.at(-1)[1] !== style) styles.push([length, style]);
      parts.push(line.slice(from, to));
      length += to - from;
    };
    for (let at = line.indexOf("\x1b"); at >= 0; at = line.indexOf("\x1b", from)) {
      STILL.lastIndex = at;
      const match = STILL.exec(line);
      if (!match) return null;
      add(at);
      from = STILL.lastIndex;
      if (match[1] !== undefined) style = styleAfter(style, match[1]);
    }
    add(line.length);
    const text = parts.join("");
    if (CONTROL.test(text)) return null;
    this.styleBehind = style;
    return { text, styles };
  }

  #wholeSequences(text) {
    this.unfinished = "";
    const at = text.lastIndexOf("\x1b");
    if (at < 0) return text;
    const rest = text.slice(at);
    const begun = UNFINISHED.exec(rest) ?? UNFINISHED_TEXT.exec(rest);
    if (begun) this.unfinished = begun[1] ?? begun[0].slice(0, LONGEST_SEQUENCE);
    return begun ? text.slice(0, at) : text;
  }

  #draw(text) {
    if (!text) return;
    for (const [token, plain, numbers, final] of text.matchAll(TOKEN)) {
      if (plain !== undefined) this.#put(plain);
      else if (final !== undefined) this.#sequence(final, numbers);
      else this.#character(token);
    }
  }

  #put(text) {
    const pairs = hasPairs(text);
    const characters = pairs ? Array.from(text) : text;
    for (let from = 0; from < characters.length;) {
      const part = characters.slice(from, from + ROW - this.column);
      from += part.length;
      if (part.length === ROW && !pairs && !this.cells.length && !this.isDrawnOver) {
        this.#finish(simplified({ text: part, styles: [[0, this.style]] }));
      } else {
        this.#putPart(part);
        if (this.column === ROW) this.#finish(this.row());
      }
    }
  }

  #putPart(part) {
    if (this.column < this.cells.length) this.#drawOver();
    while (this.cells.length < this.column) this.#append(" ", null);
    for (const character of part) {
      this.cells[this.column] = character;
      this.styles[this.column] = this.style;
      this.column += 1;
    }
  }

  /** Give a full row back, unless nothing is seen in it: its line goes on in another. */
  #finish(row) {
    const isSeen = textOf(row) !== "";
    const isContinued = this.isContinued || isSeen;
    if (isSeen) this.final.push(row);
    this.#clearRow();
    this.isContinued = isContinued;
  }

  #append(cell, style) {
    this.cells.push(cell);
    this.styles.push(style);
  }

  /** What is drawn over has no tabs left in it, but the blanks that they were. */
  #drawOver() {
    this.isDrawnOver = true;
    if (this.hasTabs) this.cells = this.cells.map((cell) => (cell === "\t" || cell === "" ? " " : cell));
    this.hasTabs = false;
  }

  #clearRow() {
    Object.assign(this, EMPTY_ROW, { cells: [], styles: [] });
  }

  // --- what is obeyed

  #goTo(column) {
    this.column = Math.max(0, Math.min(column, Math.max(this.cells.length, FURTHEST)));
  }

  #character(token) {
    if (token === "\r" || token === "\x1bE") this.#goTo(0);
    else if (token === "\b") this.#goTo(this.column - 1);
    else if (token === "\t") this.#tab();
    else if (token === "\x1b7") this.saved = this.column;
    else if (token === "\x1b8") this.#goTo(this.saved);
    else if (token === "\x1bc") { this.#clearRow(); this.style = null; }
  }

  #sequence(final, numbers) {
    switch (final) {
      case "m": this.style = styleAfter(this.style, numbers); break;
      case "C": case "a": this.#goTo(this.column + numberAt(numbers, 1)); break;
      case "D": this.#goTo(this.column - numberAt(numbers, 1)); break;
      case "G": case "`": this.#goTo(numberAt(numbers, 1) - 1); break;
      case "H": case "f": this.#goTo(numberAt(numbers, 1, 1) - 1); break;
      case "E": case "F": this.#goTo(0); break;
      case "s": this.saved = this.column; break;
      case "u": this.#goTo(this.saved); break;
      case "J": case "K": this.#erase(numberAt(numbers, 0)); break;
      case "X": this.#replace(numberAt(numbers, 1), numberAt(numbers, 1)); break;
      case "P": this.#replace(numberAt(numbers, 1), 0); break;
      default: this.#replace(0, numberAt(numbers, 1));
    }
  }

  #tab() {
    const width = Math.min(TAB - (this.column % TAB), ROW - 1 - this.column);
    if (width > 0 && this.column === this.cells.length) {
      for (let at = 0; at < width; at += 1) this.#append(at ? "" : "\t", this.style);
      this.hasTabs = true;
    }
    this.column += Math.max(0, width);
  }

  #erase(way) {
    if (way === 0 && this.column >= this.cells.length) return;
    this.#drawOver();
    if (way === 0) this.#shorten(this.column);
    else if (way === 1) this.#blank(0, Math.min(this.column + 1, this.cells.length));
    else this.#shorten(0);
  }

  #shorten(length) {
    this.cells.length = Math.min(this.cells.length, length);
    this.styles.length = this.cells.length;
  }

  #blank(from, to) {
    this.cells.fill(" ", from, to);
    this.styles.fill(null, from, to);
  }

  /** Exchange `count` characters from the cursor on, if there are any, by blanks. */
  #replace(count, blanks) {
    if (this.column >= this.cells.length) return;
    this.#drawOver();
    if (count === blanks) { this.#blank(this.column, this.column + count); return; }
    this.cells.splice(this.column, count, ...Array(blanks).fill(" "));
    this.styles.splice(this.column, count, ...Array(blanks).fill(null));
    this.#shorten(ROW);
  }
}

const simplified = (row) => (typeof row === "string" || row.styles.some(([, style]) => style) ? row : row.text);

/** The text of a row, without its colours. */
export const textOf = (row) => (typeof row === "string" ? row : row.text);
