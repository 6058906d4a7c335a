// A line of output with its colours: escape sequences become elements with text in them, never HTML.
import { createAnsiSequenceParser, namedColors } from "../vendor/ansi-sequence-parser.mjs";
import { html } from "../core/html.js";
import { marked } from "../core/text.js";

const NOT_COLOUR = /\x1b(?:\[[\d;?]*[ -/]*[@-ln-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])/g;
const CUBE = [0, 95, 135, 175, 215, 255];

function tableColour(index) {
  if (index < 16) return named(namedColors[index]);
  if (index > 231) return rgb(Array(3).fill(8 + 10 * (index - 232)));
  const at = index - 16;
  return rgb([CUBE[Math.floor(at / 36)], CUBE[Math.floor(at / 6) % 6], CUBE[at % 6]]);
}

const named = (name) => `var(--a-${name.replace(/^bright(.)/, (_, letter) => letter.toLowerCase())})`;
// Drawn towards the text's colour, so that it can be read on both themes.
const rgb = (parts) => `color-mix(in srgb, rgb(${parts.join(" ")}) 45%, var(--text))`;

function colourOf(colour) {
  if (!colour) return null;
  if (colour.type === "named") return named(colour.name);
  return colour.type === "rgb" ? rgb(colour.rgb) : tableColour(colour.index);
}

function styleOf({ foreground, background, decorations }) {
  const reverse = decorations.has("reverse");
  const front = colourOf(reverse ? background : foreground);
  const back = colourOf(reverse ? foreground : background) ?? (reverse ? "var(--text)" : null);
  const style = {};
  // On a coloured ground the letters stay nearly the text's own colour, or they could not be read.
  if (front) style.color = back ? `color-mix(in srgb, ${front} 20%, var(--text))` : front;
  if (back) style.background = `color-mix(in srgb, ${back} 22%, var(--sunken))`;
  return style;
}

/** The parts of `text` that `matcher` finds, marked. */
function found(text, matcher) {
  if (!matcher) return marked(text);
  const parts = [];
  let at = 0;
  for (const [from, to] of matcher.ranges(text)) {
    parts.push(marked(text.slice(at, from)), html`<mark>${marked(text.slice(from, to))}</mark>`);
    at = to;
  }
  return [...parts, marked(text.slice(at))];
}

/** `text` in the colours that `colour` (escape sequences) left in force; what `matcher` finds is marked. */
export function AnsiLine({ text, colour, matcher }) {
  if (!colour && !text.includes("\x1b")) return found(text, matcher);
  const clean = text.replace(NOT_COLOUR, "").replaceAll("\x1b[m", "\x1b[0m");
  const tokens = createAnsiSequenceParser().parse(colour + clean);
  return tokens.map((token) => {
    const kinds = [...token.decorations].map((name) => `a-${name}`).join(" ");
    return html`<span class=${kinds} style=${styleOf(token)}>${found(token.value, matcher)}</span>`;
  });
}
