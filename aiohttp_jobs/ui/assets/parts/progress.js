// How far a job is, as a bar with its words.
import { html } from "../core/html.js";
import { percentOf, progressWords } from "../core/progress.js";
import { Text } from "../core/text.js";

/** The bar alone; without a value it says "busy". */
export function Bar({ progress, label }) {
  const percent = percentOf(progress);
  return percent === null
    ? html`<progress key="busy" max="100" aria-label=${label}></progress>`
    : html`<progress key="share" max="100" value=${percent} aria-label=${label}></progress>`;
}

export function Progress({ progress, label = "Progress" }) {
  if (!progress) return null;
  const words = progressWords(progress);
  return html`<div class="progress">${words && html`<${Text}>${words}<//>`}
    <${Bar} progress=${progress} label=${label} /></div>`;
}
