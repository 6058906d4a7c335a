// Text from elsewhere, made safe to look at: characters that hide or reorder others are shown as marks.
import { html } from "./html.js";

// Controls but tab and line feed, zero-width characters, and what turns the direction of writing.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;
const EVERY_HIDDEN = new RegExp(HIDDEN, "g");

const code = (character) => `U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

/** `text` with marks, as what a component may have inside. */
export function marked(text) {
  if (!HIDDEN.test(text)) return text;
  const parts = [];
  let from = 0;
  for (const { 0: character, index } of text.matchAll(EVERY_HIDDEN)) {
    if (index > from) parts.push(text.slice(from, index));
    parts.push(html`<span class="mark" title="A hidden character, shown as its code">${code(character)}</span>`);
    from = index + 1;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/** The same where only plain text can be shown: a title, a label. */
export const markedPlain = (text) => String(text ?? "").replace(EVERY_HIDDEN, (character) => `[${code(character)}]`);

/** A name or a sentence of somebody's, kept apart from the text around it. */
export function Text({ children, class: className }) {
  return html`<bdi class=${className}>${marked(String(children ?? ""))}</bdi>`;
}
