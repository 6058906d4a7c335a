// A line of output with its colours, as elements with text in them, never HTML.
import { html } from "../core/html.js";
import { marked } from "../core/text.js";

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const DECORATIONS = ["bold", "dim", "italic", "underline", "reverse", "hidden", "strikethrough", "overline"];
const CUBE = [0, 95, 135, 175, 215, 255];

function tableColour(index) {
  if (index < 16) return `var(--a-${NAMES[index % 8]})`;
  if (index > 231) return rgb(Array(3).fill(8 + 10 * (index - 232)));
  const at = index - 16;
  return rgb([CUBE[Math.floor(at / 36)], CUBE[Math.floor(at / 6) % 6], CUBE[at % 6]]);
}

// Drawn towards the text's colour, so that it can be read on both themes.
const rgb = (parts) => `color-mix(in srgb, rgb(${parts.join(" ")}) 45%, var(--text))`;

function colourOf(colour) {
  if (colour === undefined) return null;
  return Array.isArray(colour) ? rgb(colour) : tableColour(colour);
}

function cssOf({ foreground, background, reverse }) {
  const front = colourOf(reverse ? background : foreground);
  const back = colourOf(reverse ? foreground : background) ?? (reverse ? "var(--text)" : null);
  const css = {};
  // On a coloured ground the letters stay nearly the text's own colour, or they could not be read.
  if (front) css.color = back ? `color-mix(in srgb, ${front} 20%, var(--text))` : front;
  if (back) css.background = `color-mix(in srgb, ${back} 22%, var(--sunken))`;
  return css;
}

/** `text` from `from` on to before `to`, with what lies in `ranges` marked. */
function found(text, ranges, from, to) {
  const parts = [];
  let at = from;
  for (const [start, end] of ranges) {
    if (end <= from || start >= to) continue;
    const [begin, stop] = [Math.max(start, from), Math.min(end, to)];
    parts.push(marked(text.slice(at, begin)), html`<mark>${marked(text.slice(begin, stop))}</mark>`);
    at = stop;
  }
  return [...parts, marked(text.slice(at, to))];
}

/** `text` in its `styles` (of a row of `core/terminal.js`); what `matcher` finds is marked. */
export function AnsiLine({ text, styles, matcher }) {
  const ranges = matcher ? matcher.ranges(text) : [];
  if (!styles) return found(text, ranges, 0, text.length);
  return styles.map(([from, style], number) => {
    const inside = found(text, ranges, from, styles[number + 1]?.[0] ?? text.length);
    if (!style) return inside;
    const kinds = DECORATIONS.filter((name) => style[name]).map((name) => `a-${name}`).join(" ");
    return html`<span class=${kinds} style=${cssOf(style)}>${inside}</span>`;
  });
}
