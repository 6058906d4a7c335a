// Which view is shown, from the address after "#": `#/jobs?state=Failed&q=disk`. So views can be shared.
import { useEffect, useState } from "./html.js";

/** `{view, id, params}` of an address. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view, id] = path.split("/").map(decode);
  return { view: view || "jobs", id: id || null, params: Object.fromEntries(new URLSearchParams(query)) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a view, for links. */
export function link(view, id = null, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(given).toString();
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}${query ? `?${query}` : ""}`;
}

/**
 * Go there; with `replace` a view changes its own address, which is not kept in the history. A view that is being
 * left, as the next one still loads, is not gone back to by what was typed into it meanwhile.
 */
export function go(hash, { replace = false } = {}) {
  if (!replace) {
    location.hash = hash;
    return;
  }
  if (parse(hash).view !== parse(location.hash).view) return;
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute() {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const changed = () => setRoute(parse(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
