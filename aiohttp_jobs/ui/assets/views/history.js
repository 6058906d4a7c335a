// What has run: jobs per hour (or day) by outcome, how long they took, and which run most often.
import { html, useMemo } from "../core/html.js";
import { get } from "../core/api.js";
import { count, formatDay, formatDuration, formatShort } from "../core/format.js";
import { useData, useTitle } from "../core/hooks.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { Text } from "../core/text.js";
import { StackedBars } from "../parts/chart.js";
import { Empty, Fold, Loaded } from "../parts/parts.js";
import { Table } from "../parts/table.js";

const HOUR = 3600000;
const RANGES = {
  day: ["Last 24 hours", 24 * HOUR, "hour"],
  week: ["Last 7 days", 7 * 24 * HOUR, "hour"],
  month: ["Last 30 days", 30 * 24 * HOUR, "day"],
  year: ["Last year", 365 * 24 * HOUR, "day"],
};
const SERIES = [["Succeeded", "--good"], ["Failed", "--bad"], ["TimedOut", "--warn"], ["Cancelled", "--line-strong"], [
  "Interrupted",
  "--accent",
], ["Rejected", "--code-keyword"]];
const WORDS = { TimedOut: "Timed out" };

/** Every bucket of the range, those without jobs too. */
function chartOf(buckets, from, to, step) {
  const found = new Map(buckets.map((bucket) => [new Date(bucket.Start).getTime(), bucket]));
  const times = [];
  for (let at = Math.floor(from / step) * step; at <= to; at += step) times.push(at);
  const series = SERIES.map(([name, colour]) => ({
    name: WORDS[name] ?? name,
    colour,
    values: times.map((at) => found.get(at)?.[name] ?? 0),
  }))
    .filter((one, index) => index < 2 || one.values.some(Boolean));
  return { times: times.map((at) => at / 1000), series };
}

const nameOf = (bucket) => (moment) => (bucket === "hour" ? formatShort(moment) : formatDay(moment));

/** How many ended how; those that did not happen are left out, but for failures. */
function Outcomes({ total, count: all }) {
  const shown = SERIES.filter(([name], index) => index < 2 || total(name));
  return html`
    <section class="panel">
      <h2>${count(all, "job")}</h2>
      <ul class="outcomes">${shown.map(([name, colour]) =>
        html`<li key=${name}>
    <i style=${{ background: `var(${colour})` }}></i><span>${WORDS[name] ?? name}</span><b>${
          total(name).toLocaleString()
        }</b>
    <span class="muted">${
          all ? `${((total(name) / all) * 100).toFixed(total(name) && total(name) < all / 100 ? 1 : 0)} %` : ""
        }</span></li>`
      )}</ul>
    </section>
  `;
}

/** How long they took, as bars by the logarithm, so that seconds and hours can stand side by side. */
function Runtimes({ runtime }) {
  const rows = [["Median", runtime.P50], ["90th percentile", runtime.P90], ["99th percentile", runtime.P99], [
    "Longest",
    runtime.Max,
  ]];
  const share = (seconds) =>
    `${Math.max(1.5, (Math.log1p(seconds * 10) / Math.log1p(Math.max(0.1, runtime.Max) * 10)) * 100)}%`;
  return html`
    <section class="panel">
      <h2>Runtime</h2>
      <dl class="runtimes">${rows.map(([words, seconds]) =>
        html`
          <div key=${words}>
            <dt>${words}</dt>
            <dd><span class="track" aria-hidden="true"><i style=${{
              width: share(seconds ?? 0),
            }}></i></span><b>${formatDuration(seconds)}</b></dd>
          </div>
        `
      )}</dl>
    </section>
  `;
}

/** The chart's numbers for who cannot see it, or wants to know exactly. */
function Counts({ buckets, bucket }) {
  const shown = SERIES.filter(([name], index) => index < 2 || buckets.some((one) => one[name]));
  const columns = [
    [bucket === "hour" ? "Hour" : "Day", (one) => nameOf(bucket)(one.Start)],
    ...shown.map(([name]) => [WORDS[name] ?? name, (one) => (one[name] ?? 0).toLocaleString()]),
  ];
  const busy = buckets.filter((one) => SERIES.some(([name]) => one[name]));
  return html`<${Table} records=${busy} id="Start" columns=${columns} />`;
}

function Charts({ stats, from, to, bucket }) {
  const { times, series } = useMemo(() => chartOf(stats.buckets, from, to, bucket === "hour" ? HOUR : 24 * HOUR), [
    stats,
  ]);
  const total = (name) => stats.buckets.reduce((sum, one) => sum + (one[name] ?? 0), 0);
  const title = bucket === "hour" ? "Jobs per hour" : "Jobs per day";
  const label = `${title}: ${count(total("Succeeded"), "success", "successes")}, ${
    count(total("Failed"), "failure")
  } in all`;
  const columns = [
    [
      "Name",
      (one) => html`<a class="job-link" href=${link("jobs", null, { q: one.JobName })}><${Text}>${one.JobName}<//></a>`,
    ],
    ["Jobs", (one) => one.Count.toLocaleString()],
    ["Failed", (one) => (one.Failed ? html`<span class="fault">${one.Failed.toLocaleString()}</span>` : "0")],
    ["Median runtime", (one) => formatDuration(one.P50)],
  ];
  return html`
    <div class="charts">
      <div class="overview">
        <${Outcomes} total=${total} count=${stats.runtime.Count} />
        <${Runtimes} runtime=${stats.runtime} />
      </div>
      <section class="panel">
        <h2>${title}</h2>
        <${StackedBars} times=${times} series=${series} label=${label} nameOf=${nameOf(bucket)} />
        <${Fold} summary="Show as a table">
          <${Counts} buckets=${stats.buckets} bucket=${bucket} />
          <//>
          </section>
          <section>
            <h2>Most frequent</h2>
            <${Table} records=${stats.names} id="JobName" columns=${columns} />
          </section>
          </div>
  `;
}

export default function History({ route }) {
  const { me } = useSession();
  const { range = "day", scope } = route.params;
  const [, span, bucket] = RANGES[range] ?? RANGES.day;
  const [from, to] = useMemo(() => [Date.now() - span, Date.now()], [range, scope]);
  useTitle("History");
  const query = { from: new Date(from).toISOString(), to: new Date(to).toISOString(), bucket, scope };
  const result = useData((signal) => get("results/stats", query, signal), [range, scope]);
  const change = (news) => go(link("history", null, { range, scope, ...news }), { replace: true });
  return html`
    <header class="view-head">
      <h1>History</h1>
      <div class="actions">
          ${may(me, "see_all_jobs") &&
            html`<label class="check"><input type="checkbox" checked=${scope === "all"} onChange=${(event) =>
              change({ scope: event.target.checked ? "all" : "" })} /> All users</label>`}
          <select aria-label="Range" value=${range} onChange=${(event) =>
            change({ range: event.target.value })}>${Object.entries(RANGES).map(([name, [words]]) =>
              html`<option value=${name} key=${name}>${words}</option>`
            )}</select></div>
    </header>
    <${Loaded} result=${result} what="Counting">${(
      { stats },
    ) => (stats.runtime.Count
      ? html`<${Charts} key=${from} stats=${stats} from=${from} to=${to} bucket=${bucket} />`
      : html`<${Empty} title="Nothing has ended in this time">
          Choose a longer range, or come back when jobs have run.<//>`)}<//>
  `;
}
