// What all views are made of: buttons, badges, moments, messages for what is empty, loading or broken, dialogs.
import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "../core/html.js";
import { Text, markedPlain } from "../core/text.js";
import { formatAge, formatMoment } from "../core/format.js";
import { useNow } from "../core/hooks.js";
import { Icon } from "./icons.js";

export const STATUS_WORDS = { TimedOut: "Timed out" };
const KINDS = {
  Running: "running", Queued: "waiting", Pending: "waiting", Succeeded: "good", Failed: "bad", TimedOut: "bad",
  Rejected: "bad", Interrupted: "warn", Cancelled: "quiet",
};

export const kindOf = (status) => KINDS[status] ?? "quiet";

export function Badge({ status, children }) {
  return html`<span class=${`badge ${kindOf(status)}`}>${children ?? STATUS_WORDS[status] ?? status}</span>`;
}

export function Button({ icon, kind = "", label, children, ...rest }) {
  return html`<button type="button" class=${`button ${kind}`} aria-label=${label} title=${label} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}
  </button>`;
}

export function Age({ at }) {
  const now = useNow(5000);
  return at ? html`<time datetime=${at} title=${formatMoment(at)}>${formatAge(at, now)}</time>` : "";
}

export function Empty({ title, children, action }) {
  return html`<div class="empty"><p class="empty-title">${title}</p><p>${children}</p>${action}</div>`;
}

export function Loading({ what = "Loading" }) {
  // Shown only when it takes a while, so that quick answers do not flicker.
  return html`<p class="loading" role="status">${what}…</p>`;
}

/** What went wrong and, where that can help, a button to try again. */
export function Problem({ error, retry }) {
  return html`<div class="problem" role="alert">
    <p><${Text}>${error.message}<//></p>
    ${retry && html`<${Button} icon="again" onClick=${retry}>Try again<//>`}
  </div>`;
}

/** One of the three, or what `children(data)` makes of the data. */
export function Loaded({ result, what, children }) {
  if (result.error) return html`<${Problem} error=${result.error} retry=${result.reload} />`;
  if (result.data === null) return html`<${Loading} what=${what} />`;
  return children(result.data);
}

/** A field with its label, a hint, and what is wrong with its value. `children(ids)` makes the input. */
export function Field({ label, hint, problem, wide, children }) {
  const id = useId();
  const described = [hint && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(" ") || undefined;
  return html`<div class=${`field ${wide ? "wide" : ""}`}>
    <label for=${id}>${label}</label>
    ${children({ id, "aria-describedby": described, "aria-invalid": problem ? "true" : undefined })}
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${problem && html`<p class="fault" id=${`${id}-problem`}>${problem}</p>`}
  </div>`;
}

/** Folded away until it is opened, or something in it needs to be seen. It never closes by itself. */
export function Fold({ summary, needed, children }) {
  const details = useRef(null);
  useEffect(() => { if (needed) details.current.open = true; }, [Boolean(needed)]);
  return html`<details class="more" ref=${details}><summary>${summary}</summary>${children}</details>`;
}

export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  const id = useId();
  useLayoutEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  const pressed = (event) => event.target === dialog.current && onClose();
  return html`<dialog ref=${dialog} aria-labelledby=${id} onClose=${onClose} onClick=${pressed}>
    <header><h2 id=${id}>${title}</h2><${Button} icon="close" kind="bare" label="Close" onClick=${onClose} /></header>
    <div class="dialog-body">${children}</div>
  </dialog>`;
}

/** A button that asks once more, in its own place, before it does something that cannot be undone. */
export function Sure({ icon, label, question, onSure }) {
  const [asking, setAsking] = useState(false);
  useEffect(() => {
    if (!asking) return undefined;
    const timer = setTimeout(() => setAsking(false), 6000);
    return () => clearTimeout(timer);
  }, [asking]);
  if (!asking) return html`<${Button} icon=${icon} onClick=${() => setAsking(true)}>${label}<//>`;
  const sure = () => { setAsking(false); onSure(); };
  return html`<${Button} kind="danger" icon=${icon} onClick=${sure}>${question}<//>`;
}

const TOAST_MS = 6000;

/** A short message at the edge of the page; it is also read out. */
export function toast(message, kind = "") {
  document.dispatchEvent(new CustomEvent("aiohttp-jobs:toast", { detail: { message: markedPlain(message), kind } }));
}

/** What does `work`, says `words` or what went wrong, and has `reload` show what is there now. */
export function acting(reload) {
  return async (work, words) => {
    try {
      await work();
      toast(words);
    } catch (error) {
      toast(error.message, "bad");
    }
    reload();
  };
}

export function Toasts() {
  const [shown, setShown] = useState([]);
  useEffect(() => {
    const add = ({ detail }) => {
      const item = { ...detail, id: Symbol("toast") };
      setShown((old) => [...old.slice(-2), item]);
      setTimeout(() => setShown((old) => old.filter((other) => other !== item)), TOAST_MS);
    };
    document.addEventListener("aiohttp-jobs:toast", add);
    return () => document.removeEventListener("aiohttp-jobs:toast", add);
  }, []);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map((item) => html`<p class=${`toast ${item.kind}`} key=${item.id}>${item.message}</p>`)}
  </div>`;
}

/** Put `text` on the clipboard, and say so. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied.`);
  } catch {
    toast("The browser does not allow copying here; over HTTPS it does.", "bad");
  }
}

/** A secret that was made just now; `label` is what it is called. */
export function ShownOnce({ title, label, secret, onClose, children = null }) {
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      <div class="form">
        <p>This is the only time that it is shown. Keep it where only the program that needs it can read it.</p>
        ${children}
        <pre class="code" tabindex="0" aria-label=${label}>${secret}</pre>
        <div class="form-end">
          <${Button} kind="primary" icon="copy" onClick=${() => copy(secret, `${label} was`)}>Copy<//>
          <${Button} onClick=${onClose}>I have kept it<//></div>
      </div><//>
  `;
}
