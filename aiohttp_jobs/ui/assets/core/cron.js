// Cron lines as sentences, by cronstrue, which is fetched when the first line is to be read.
import { html, useEffect, useState } from "./html.js";
import { loadScript } from "../parts/highlight.js";

const NAMED = { "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *" };

function sentence(cron) {
  try {
    return { text: window.cronstrue.toString(NAMED[cron.trim()] ?? cron, { use24HourTimeFormat: true, throwExceptionOnParseError: true }) };
  } catch (error) {
    return { fault: String(error).replace(/^Error: /, "") };
  }
}

/** `{text}` or `{fault}` of a cron line; empty until the library is there. */
export function useCron(cron) {
  const [ready, setReady] = useState(Boolean(window.cronstrue));
  useEffect(() => {
    let wanted = true;
    loadScript("../vendor/cronstrue.js").then(() => wanted && setReady(true), () => {});
    return () => { wanted = false; };
  }, []);
  return ready && cron.trim() ? sentence(cron) : {};
}

export function Cron({ line }) {
  const { text } = useCron(line);
  return html`${text && html`<span>${text}</span> `}<code class="cron">${line}</code>`;
}
