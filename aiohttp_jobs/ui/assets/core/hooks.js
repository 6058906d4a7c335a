// Small hooks that several views share: data from the API, keys, the clock, the page's title.
import { useCallback, useEffect, useRef, useState } from "./html.js";

/** `{data, error, loading, reload}` of what `load(signal)` returns, again whenever `inputs` change. */
export function useData(load, inputs) {
  const [result, setResult] = useState({ data: null, error: null, loading: true });
  const latest = useRef(null);
  const run = useCallback(() => {
    latest.current?.abort();
    const control = (latest.current = new AbortController());
    const settle = (news) => control.signal.aborted || setResult((old) => ({ ...old, loading: false, ...news }));
    setResult((old) => ({ ...old, loading: true }));
    return load(control.signal).then((data) => settle({ data, error: null }), (error) => settle({ error }));
  }, inputs);
  useEffect(() => {
    run();
    return () => latest.current?.abort();
  }, [run]);
  return { ...result, reload: run };
}

const TYPING = "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable], dialog";

/** Single keys, as `{j: handler}`; not while somebody types, and never with Ctrl, Alt or Meta. */
export function useKeys(handlers) {
  const current = useRef(handlers);
  current.current = handlers;
  useEffect(() => {
    const pressed = (event) => {
      const handler = current.current[event.key];
      if (!handler || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
      if (event.target.closest?.(TYPING) && event.key !== "Escape") return;
      if (document.querySelector("dialog[open]")) return;
      if (handler(event) !== false) event.preventDefault();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}

/** The time now, in milliseconds, again every `every` milliseconds while the tab is visible. */
export function useNow(every = 1000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

export function useTitle(title) {
  useEffect(() => {
    const site = document.getElementById("aiohttp-jobs").dataset.title;
    document.title = title ? `${title} · ${site}` : site;
  }, [title]);
}

/** The value, `delay` milliseconds after it last changed. */
export function useSettled(value, delay = 250) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delay);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
