// The output of a job: only the lines that can be seen are in the page, however many there are.
import { html, useEffect, useLayoutEffect, useReducer, useRef, useState } from "../core/html.js";
import { download } from "../core/api.js";
import { count, formatBytes } from "../core/format.js";
import { useKeys, useSettled } from "../core/hooks.js";
import { AnsiLine } from "./ansi.js";
import { Icon } from "./icons.js";
import { Button, toast } from "./parts.js";

const ROW = 20;
const TALLEST = 8_000_000; // pixels; browsers cut off taller elements
const MOST_HITS = 10000;
const WORDS = { loading: "Loading", connecting: "Connecting", live: "Live", reconnecting: "Connection lost; connecting again", reading: "Reading", ended: "Complete", error: "Not live" };

/** Where the lines stand: `top` is the first line that can be seen, with a fraction. */
function geometry(box, total) {
  const height = box.clientHeight;
  const visible = height / ROW;
  const spacer = Math.min(TALLEST, Math.max(height, total * ROW));
  const last = Math.max(0, total - visible);
  const reach = Math.max(0, spacer - height);
  return { visible, spacer, last, reach, height };
}

function useLineWindow(lines, follow, setFollow) {
  const box = useRef(null);
  const top = useRef(0);
  const [, draw] = useReducer((number) => number + 1, 0);
  const total = lines.length;
  const place = (row) => {
    const { last, reach } = geometry(box.current, total);
    top.current = Math.min(last, Math.max(0, row));
    box.current.scrollTop = last ? (top.current / last) * reach : 0;
    draw();
  };
  const scrolled = () => {
    const { last, reach } = geometry(box.current, total);
    const { scrollTop } = box.current;
    const row = reach ? (scrollTop / reach) * last : 0;
    if (Math.abs(((top.current / (last || 1)) * reach) - scrollTop) > 1) top.current = row;
    const atEnd = scrollTop >= reach - 2;
    if (atEnd !== follow) setFollow(atEnd);
    draw();
  };
  const wheel = (event) => {
    const { reach, last } = geometry(box.current, total);
    if (reach >= last * ROW - 1 || event.ctrlKey) return; // the browser's own scrolling is exact enough
    event.preventDefault();
    place(top.current + event.deltaY / ROW);
  };
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => draw());
    observer.observe(box.current);
    box.current.addEventListener("wheel", wheel, { passive: false });
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => { if (follow) place(Infinity); }, [follow, lines.version, total]);
  return { box, top: top.current, place, scrolled };
}

function useSearch(lines, text) {
  const needle = useSettled(text, 200).toLowerCase();
  const [hits, setHits] = useState(null);
  const [now, setNow] = useState(0);
  useEffect(() => {
    setNow(0);
    setHits(null);
    if (!needle) return undefined;
    const control = new AbortController();
    lines.search(needle, MOST_HITS, control.signal).then(
      (rows) => control.signal.aborted || setHits(rows), (error) => toast(error.message, "bad"),
    );
    return () => control.abort();
  }, [needle, needle ? Math.floor(lines.length / 500) : 0]);
  return { needle, hits, now, setNow };
}

function Bar({ job, search, text, setText, step, field, follow, setFollow, wrap, setWrap, status }) {
  const { needle, hits, now } = search;
  const words = !needle ? "" : hits === null ? "Searching…" : hits.length ? `${now + 1} of ${hits.length.toLocaleString()}${hits.length >= MOST_HITS ? "+" : ""}` : "Not found";
  const pressed = (event) => {
    if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { setText(""); event.target.blur(); }
  };
  const save = () => download(`jobs/${job.JobID}/output`, `${job.JobID}.txt`).catch((error) => toast(error.message, "bad"));
  return html`<div class="output-bar">
    <h2>Output</h2>
    <label class="search"><span class="visually-hidden">Search in the output</span><${Icon} name="search" />
      <input type="search" ref=${field} value=${text} placeholder="Search in the output" spellcheck=${false} onInput=${(event) => setText(event.target.value)} onKeyDown=${pressed} />
      <kbd aria-hidden="true">/</kbd></label>
    <span class="hits" role="status">${words}</span>
    <${Button} icon="up" kind="bare" label="Previous match" disabled=${!hits?.length} onClick=${() => step(-1)} />
    <${Button} icon="next" kind="bare" label="Next match" disabled=${!hits?.length} onClick=${() => step(1)} />
    ${status !== "ended" && html`<${Button} icon=${follow ? "pause" : "follow"} aria-pressed=${String(follow)} onClick=${() => setFollow(!follow)}>${follow ? "Following" : "Follow"}<//>`}
    <${Button} icon="wrap" kind="bare" label="Wrap long lines" aria-pressed=${String(wrap)} onClick=${() => setWrap(!wrap)} />
    <${Button} icon="down" kind="bare" label="Download the output" onClick=${save} />
  </div>`;
}

function Row({ lines, row, needle, isHit }) {
  const line = lines.at(row);
  if (line === null) return html`<div class="row told"><span class="number">${row + 1}</span><span class="line">…</span></div>`;
  const told = line.kind || (line.text.startsWith("::progress ") ? "told" : "");
  return html`<div class=${`row ${line.isError ? "error" : ""} ${told} ${isHit ? "found" : ""}`}>
    <span class="number" aria-hidden="true">${row + 1}</span>
    <span class="line"><${AnsiLine} text=${line.text} colour=${line.colour} needle=${needle} /></span>
  </div>`;
}

export function Output({ state }) {
  const { lines, job, status } = state;
  const [follow, setFollow] = useState(status !== "ended");
  const [wrap, setWrap] = useState(false);
  const [text, setText] = useState("");
  const field = useRef(null);
  const search = useSearch(lines, text);
  const { box, top, place, scrolled } = useLineWindow(lines, follow, setFollow);
  const [, refresh] = useReducer((number) => number + 1, 0);
  const total = lines.length;
  const shape = box.current ? geometry(box.current, total) : { visible: 40, spacer: 0, last: 0, height: 0 };
  const first = Math.max(0, Math.min(Math.floor(top), total - Math.ceil(shape.visible)));
  const end = Math.min(total, first + Math.ceil(shape.visible) + 1);
  const atEnd = total > shape.visible && top >= shape.last - 0.5;
  useEffect(() => {
    lines.ensure(first, end).then((fetched) => fetched && refresh(), (error) => error.name !== "AbortError" && toast(error.message, "bad"));
  }, [first, end]);
  const step = (by) => {
    const { hits, now } = search;
    if (!hits?.length) return;
    const next = (now + by + hits.length) % hits.length;
    search.setNow(next);
    setFollow(false);
    place(hits[next] - shape.visible / 3);
  };
  useEffect(() => { if (search.hits?.length) { setFollow(false); place(search.hits[0] - shape.visible / 3); } }, [search.hits]);
  useKeys({ "/": () => field.current.focus(), f: () => setFollow(!follow), w: () => setWrap(!wrap) });
  const height = wrap ? "62vh" : `min(62vh, ${Math.max(6, total + 1) * ROW}px)`;
  const rows = [];
  for (let row = first; row < end; row += 1) {
    rows.push(html`<${Row} key=${row} lines=${lines} row=${row} needle=${search.needle} isHit=${search.hits?.[search.now] === row} />`);
  }
  return html`<section class=${`output ${wrap ? "wrapped" : ""}`} aria-label="Output">
    <${Bar} ...${{ job, search, text, setText, step, field, follow, setFollow, wrap, setWrap, status }} />
    <div class="output-scroll" ref=${box} style=${{ height }} onScroll=${scrolled}>
      <div class=${`output-window ${atEnd ? "at-end" : ""}`} tabindex="0" role="region" aria-label="Lines of output"><div class="output-rows">${rows}</div></div>
      <div style=${{ height: `${Math.max(0, shape.spacer - shape.height)}px` }}></div>
    </div>
    <p class="output-foot"><span role="status">${WORDS[status]}</span> · ${count(total, "line")} · ${formatBytes(lines.bytes)}${lines.leftOut ? ` · ${formatBytes(lines.leftOut)} were not kept` : ""}</p>
  </section>`;
}
