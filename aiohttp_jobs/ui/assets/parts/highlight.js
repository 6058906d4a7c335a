// Highlighting of commands. Prism cuts the text into tokens; they become elements with text in them, never HTML.
import { html, useEffect, useState } from "../core/html.js";
import { marked } from "../core/text.js";

const LANGUAGES = { shell: "bash", bash: "bash", python: "python", powershell: "powershell" };
const MOST_CHARACTERS = 50000; // beyond that each key press would be felt
const loads = new Map();

/** Load a script that is not a module, once; relative to this file. */
export function loadScript(path) {
  if (!loads.has(path)) {
    loads.set(path, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(path, import.meta.url).href;
      script.onload = resolve;
      script.onerror = () => { loads.delete(path); reject(new Error(`${path} could not be loaded.`)); };
      document.head.append(script);
    }));
  }
  return loads.get(path);
}

async function grammar(interpreter) {
  const language = LANGUAGES[interpreter];
  if (!language) return null;
  window.Prism ??= { manual: true };
  await loadScript("../vendor/prism-core.min.js");
  await loadScript(`../vendor/prism-${language}.min.js`);
  return window.Prism.languages[language];
}

function shown(tokens, plain) {
  return tokens.map((token) => {
    if (typeof token === "string") return plain ? token : marked(token);
    const inside = shown(Array.isArray(token.content) ? token.content : [token.content], plain);
    const kinds = [token.type, ...[token.alias ?? []].flat()].map((kind) => `tok-${kind}`);
    return html`<span class=${kinds.join(" ")}>${inside}</span>`;
  });
}

/** The text with its colours, once the language is there; `plain` leaves hidden characters as they are. */
export function Highlighted({ text, interpreter, plain = false }) {
  const [language, setLanguage] = useState(null);
  useEffect(() => {
    let wanted = true;
    grammar(interpreter).then((found) => wanted && setLanguage(found), () => wanted && setLanguage(null));
    return () => { wanted = false; };
  }, [interpreter]);
  if (!language || text.length > MOST_CHARACTERS) return plain ? text : marked(text);
  return shown(window.Prism.tokenize(text, language), plain);
}
