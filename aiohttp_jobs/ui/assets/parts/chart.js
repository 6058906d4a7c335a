// A stacked bar chart over time, by uPlot, in the page's colours. The library is fetched when it is needed.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../core/html.js";

const HEIGHT = 230;
let loading = null;

function load() {
  loading ??= import("../vendor/uplot.mjs").then((module) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("../vendor/uplot.css", import.meta.url).href;
    document.head.append(style);
    return module.default;
  });
  return loading;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Each series on top of those before it; drawn from the last to the first, so that all can be seen. */
function stacked(series) {
  const sums = series.map(() => []);
  series[0].values.forEach((_, at) => {
    let sum = 0;
    series.forEach((one, index) => { sum += one.values[at]; sums[index][at] = sum; });
  });
  return sums.reverse();
}

const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** The day where it begins, else the time. */
function labels(splits) {
  return splits.map((seconds) => {
    const when = new Date(seconds * 1000);
    return when.getHours() + when.getMinutes() ? hour.format(when) : day.format(when);
  });
}

function optionsOf(uPlot, times, series, width, onPoint) {
  const step = times.length > 1 ? times[1] - times[0] : 3600;
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
  };
  const bars = uPlot.paths.bars({ size: [0.75, 40] });
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
    hooks: { setCursor: [(plot) => onPoint(plot.cursor.idx ?? null)] },
    scales: {
      x: { range: [times[0] - step / 2, times.at(-1) + step / 2] },
      y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] },
    },
    axes: [{ ...axis, values: (_, splits) => labels(splits) }, {
      ...axis,
      size: 60,
      incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 1000000],
    }],
    series: [
      {},
      ...[...series].reverse().map((one) => ({
        label: one.name,
        fill: colour(one.colour),
        stroke: colour(one.colour),
        width: 0,
        paths: bars,
        points: { show: false },
      })),
    ],
  };
}

/** How often the theme changed, so that what is drawn in its colours can be drawn again. */
function useTheme() {
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    const changed = () => setChanges((number) => number + 1);
    const observer = new MutationObserver(changed);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const query = matchMedia("(prefers-color-scheme: dark)");
    query.addEventListener("change", changed);
    return () => { observer.disconnect(); query.removeEventListener("change", changed); };
  }, []);
  return changes;
}

/** `times` in seconds; `series` as `[{name, colour: "--good", values}]`; `label` says in words what it
 * shows, `nameOf(moment)` what a bar is of. */
export function StackedBars({ times, series, label, nameOf }) {
  const box = useRef(null);
  const [at, setAt] = useState(null);
  const theme = useTheme();
  useLayoutEffect(() => {
    let plot = null;
    let wanted = true;
    load().then((uPlot) => {
      if (!wanted) return;
      plot = new uPlot(
        optionsOf(uPlot, times, series, box.current.clientWidth, setAt),
        [times, ...stacked(series)],
        box.current,
      );
    }, () => {});
    const observer = new ResizeObserver(() => plot?.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    observer.observe(box.current);
    return () => { wanted = false; observer.disconnect(); plot?.destroy(); };
  }, [times, series, theme]);
  return html`
    <div class="legend">${series.map((one) =>
      html`<span key=${one.name}><i style=${{ background: `var(${one.colour})` }}></i>${one.name}${
        at !== null && html` <b>${one.values[at].toLocaleString()}</b>`
      }</span>`
    )}
          <span class="point">${at !== null && nameOf(new Date(times[at] * 1000))}</span></div>
    <div class="chart" ref=${box} role="img" aria-label=${label}></div>
  `;
}
