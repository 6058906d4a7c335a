// The editor of commands: a plain textarea, so that everything of the browser's works, over the same text in colours.
import { html, useLayoutEffect, useRef } from "../core/html.js";
import { Highlighted } from "./highlight.js";

export function Editor({ value, onInput, interpreter, ids }) {
  const area = useRef(null);
  const behind = useRef(null);
  const scroll = () => {
    behind.current.scrollTop = area.current.scrollTop;
    behind.current.scrollLeft = area.current.scrollLeft;
  };
  useLayoutEffect(scroll, [value]);
  return html`
    <div class="editor" data-invalid=${ids["aria-invalid"]}>
      <pre ref=${behind}
        aria-hidden="true"><${Highlighted} text=${value} interpreter=${interpreter} plain />${"\n "}</pre>
      <textarea ref=${area} ...${ids} value=${value} onInput=${(event) =>
        onInput(event.target.value)} onScroll=${scroll}
        spellcheck=${false} autocapitalize="off" autocomplete="off" rows="8"></textarea>
    </div>
  `;
}
