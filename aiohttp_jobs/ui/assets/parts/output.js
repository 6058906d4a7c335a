// The output of a job: only the lines that can be seen are in the page, however many there are.
import { html, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "../core/html.js";
import { download } from "../core/api.js";
import { count, formatBytes } from "../core/format.js";
import { useKeys, useSettled } from "../core/hooks.js";
import { matcherOf } from "../core/matcher.js";
import { AnsiLine } from "./ansi.js";
import { Icon } from "./icons.js";
import { Button, copy, toast } from "./parts.js";

const ROW = 20;
const TALLEST = 8_000_000; // pixels; browsers cut off taller elements
const MOST_HITS = 10000;
const MOST_COPIED = 200000;
const WORDS = {
  loading: "Loading",
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Connection lost; connecting again",
  reading: "Reading",
  ended: "Complete",
  error: "Not live",
};

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

function useSearch(lines, text, isExpression) {
  const settled = useSettled(text, 200);
  const matcher = useMemo(() => matcherOf(settled, isExpression), [settled, isExpression]);
  const [hits, setHits] = useState(null);
  const [now, setNow] = useState(0);
  const usable = matcher && !matcher.fault;
  useEffect(() => {
    setNow(0);
    setHits(null);
    if (!usable) return undefined;
    const control = new AbortController();
    lines.search(matcher, MOST_HITS, control.signal).then(
      (rows) => control.signal.aborted || setHits(rows), (error) => toast(error.message, "bad"),
    );
    return () => control.abort();
  }, [matcher, usable ? Math.floor(lines.length / 500) : 0]);
  return { matcher: usable ? matcher : null, fault: matcher?.fault, hits, now, setNow };
}

/** The lines that are chosen by their numbers: `{from, to, has, choose}`, `to` not included. */
function useChosenLines() {
  const [chosen, setChosen] = useState(null);
  const choose = (row, further) =>
    setChosen((old) => {
      if (further && old)
        return { anchor: old.anchor, from: Math.min(old.anchor, row), to: Math.max(old.anchor, row) + 1 };
      return old?.from === row && old.to === row + 1 ? null : { anchor: row, from: row, to: row + 1 };
    });
  return { ...chosen, has: (row) => chosen !== null && row >= chosen.from && row < chosen.to, choose };
}

function hitWords({ matcher, fault, hits, now }) {
  if (fault) return fault;
  if (!matcher) return "";
  if (hits === null) return "Searching…";
  return hits.length
    ? `${now + 1} of ${hits.length.toLocaleString()}${hits.length >= MOST_HITS ? "+" : ""}`
    : "Not found";
}

function Search({ search, text, setText, isExpression, setIsExpression, step, field }) {
  const { hits } = search;
  const pressed = (event) => {
    if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { setText(""); event.target.blur(); }
  };
  return html`
    <label class="search"><span class="visually-hidden">Search in the output</span><${Icon} name="search" />
          <input type="search" ref=${field} value=${text} placeholder="Search in the output"
            spellcheck=${false} onInput=${(
            event,
          ) => setText(event.target.value)} onKeyDown=${pressed} />
          <kbd aria-hidden="true">/</kbd></label>
    <${Button} kind="bare" label="Regular expression" aria-pressed=${String(isExpression)}
      onClick=${() => setIsExpression(!isExpression)}><span class="mono" aria-hidden="true">.*</span><//>
        <span class="hits" role="status">${hitWords(search)}</span>
        <${Button} icon="up" kind="bare" label="Previous match" disabled=${!hits?.length} onClick=${() => step(-1)} />
        <${Button} icon="next" kind="bare" label="Next match" disabled=${!hits?.length} onClick=${() => step(1)} />
  `;
}

function Tools({ lines, job, chosen, follow, setFollow, wrap, setWrap, status, nextError }) {
  const save = () =>
    download(`jobs/${job.JobID}/output`, `${job.JobID}.txt`).catch((error) => toast(error.message, "bad"));
  const [from, to] = chosen.to ? [chosen.from, chosen.to] : [0, lines.length];
  const take = async () => {
    if (to - from > MOST_COPIED)
      toast(`It is longer than ${MOST_COPIED.toLocaleString()} lines: download it instead.`, "bad");
    else await lines.text(from, to).then(
        (text) => copy(text, chosen.to ? `${count(to - from, "line")}:` : "Output"),
        (error) => toast(error.message, "bad"),
      );
  };
  const errors = lines.errorRows.length;
  return html`<span class="tools">
    ${
    errors > 0 &&
    html`<${Button} kind="errors" title="Go to the next error" onClick=${nextError}>${count(errors, "error")}<//>`
  }
    ${
    status !== "ended" &&
    html`<${Button} icon=${follow ? "pause" : "follow"} aria-pressed=${String(follow)} onClick=${() =>
      setFollow(!follow)}>${follow ? "Following" : "Follow"}<//>`
  }
    <${Button} icon="wrap" kind="bare" label="Wrap long lines" aria-pressed=${String(wrap)} onClick=${() =>
    setWrap(!wrap)} />
    <${Button} icon="copy" kind="bare" label=${
    chosen.to ? `Copy ${count(to - from, "line")}` : "Copy the output"
  } disabled=${!lines.length} onClick=${take} />
    <${Button} icon="down" kind="bare" label="Download the output" onClick=${save} />
  </span>`;
}

function Row({ lines, row, matcher, isHit, chosen }) {
  const line = lines.at(row);
  if (line === null)
    return html`<div class="row told"><span class="number">${row + 1}</span><span class="line">…</span></div>`;
  const told = line.kind || (line.text.startsWith("::progress ") ? "told" : "");
  return html`
    <div class=${`row ${line.isError ? "error" : ""} ${told} ${isHit ? "found" : ""} ${
      chosen.has(row) ? "chosen" : ""
    }`}>
      <span class="number" aria-hidden="true" title="Click, then click another with Shift, to choose lines to copy"
        onClick=${(event) => chosen.choose(row, event.shiftKey)}>${row + 1}</span>
      <span class="line"><${AnsiLine} text=${line.text} styles=${line.styles} matcher=${matcher} /></span>
    </div>
  `;
}

export function Output({ state }) {
  const { lines, job, status } = state;
  const [follow, setFollow] = useState(status !== "ended");
  const [wrap, setWrap] = useState(false);
  const [text, setText] = useState("");
  const [isExpression, setIsExpression] = useState(false);
  const field = useRef(null);
  const search = useSearch(lines, text, isExpression);
  const chosen = useChosenLines();
  const { box, top, place, scrolled } = useLineWindow(lines, follow, setFollow);
  const [, refresh] = useReducer((number) => number + 1, 0);
  const total = lines.length;
  const shape = box.current ? geometry(box.current, total) : { visible: 40, spacer: 0, last: 0, height: 0 };
  const first = Math.max(0, Math.min(Math.floor(top), total - Math.ceil(shape.visible)));
  const end = Math.min(total, first + Math.ceil(shape.visible) + 1);
  const atEnd = total > shape.visible && top >= shape.last - 0.5;
  useEffect(() => {
    lines.ensure(first, end).then(
      (fetched) => fetched && refresh(),
      (error) => error.name !== "AbortError" && toast(error.message, "bad"),
    );
  }, [first, end]);
  const step = (by) => {
    const { hits, now } = search;
    if (!hits?.length) return;
    const next = (now + by + hits.length) % hits.length;
    search.setNow(next);
    setFollow(false);
    place(hits[next] - shape.visible / 3);
  };
  const show = (row) => { setFollow(false); place(row - shape.visible / 3); };
  const lastError = useRef(-1);
  const nextError = () => {
    const rows = lines.errorRows;
    lastError.current = rows.find((row) => row > lastError.current) ?? rows[0];
    show(lastError.current);
  };
  useEffect(() => {
    if (search.hits?.length) {
      setFollow(false);
      place(search.hits[0] - shape.visible / 3);
    }
  }, [search.hits]);
  useKeys({ "/": () => field.current.focus(), f: () => setFollow(!follow), w: () => setWrap(!wrap) });
  const height = wrap ? "62vh" : `min(62vh, ${Math.max(6, total + 1) * ROW}px)`;
  const rows = [];
  for (let row = first; row < end; row += 1) {
    rows.push(html`
      <${Row} key=${row} lines=${lines} row=${row} matcher=${search.matcher} isHit=${search.hits?.[search.now] === row}
        chosen=${chosen} />
    `);
  }
  return html`
    <section class=${`output ${wrap ? "wrapped" : ""}`} aria-label="Output">
      <div class="output-bar">
        <h2>Output</h2>
        <${Search} ...${{ search, text, setText, isExpression, setIsExpression, step, field }} />
        <${Tools} ...${{ lines, job, chosen, follow, setFollow, wrap, setWrap, status, nextError }} />
      </div>
      <div class="output-scroll" ref=${box} style=${{ height }} onScroll=${scrolled}>
        <div class=${`output-window ${atEnd ? "at-end" : ""}`} tabindex="0" role="region" aria-label="Lines of output">
          <div class="output-rows" style=${{ "--number": `${Math.max(3, String(total).length) + 3}ch` }}>${rows}</div>
        </div>
        <div style=${{ height: `${Math.max(0, shape.spacer - shape.height)}px` }}></div>
      </div>
      <p class="output-foot"><span role="status">${WORDS[status]}</span> · ${count(total, "line")} · ${formatBytes(
        lines.bytes,
      )}${lines.leftOut ? ` · ${formatBytes(lines.leftOut)} were not kept` : ""}</p>
    </section>
  `;
}
