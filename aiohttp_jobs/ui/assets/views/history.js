// What has run: jobs an hour (or a day) by outcome, how long they took, and which run most often.
import { html, useMemo } from "../core/html.js";
import { getIfThere } from "../core/api.js";
import { count, formatDuration } from "../core/format.js";
import { useData, useTitle } from "../core/hooks.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { Text } from "../core/text.js";
import { StackedBars } from "../parts/chart.js";
import { Empty, Loaded } from "../parts/parts.js";
import { Table } from "../parts/table.js";

const HOUR = 3600000;
const RANGES = { day: ["Last 24 hours", 24 * HOUR, "hour"], week: ["Last 7 days", 7 * 24 * HOUR, "hour"], month: ["Last 30 days", 30 * 24 * HOUR, "day"], year: ["Last year", 365 * 24 * HOUR, "day"] };
const SERIES = [["Succeeded", "--good"], ["Failed", "--bad"], ["TimedOut", "--warn"], ["Cancelled", "--line-strong"], ["Interrupted", "--accent"], ["Rejected", "--code-keyword"]];
const WORDS = { TimedOut: "Timed out" };

/** Every bucket of the range, those without jobs too. */
function chartOf(buckets, from, to, step) {
  const found = new Map(buckets.map((bucket) => [new Date(bucket.Start).getTime(), bucket]));
  const times = [];
  for (let at = Math.floor(from / step) * step; at <= to; at += step) times.push(at);
  const series = SERIES.map(([name, colour]) => ({ name: WORDS[name] ?? name, colour, values: times.map((at) => found.get(at)?.[name] ?? 0) }))
    .filter((one, index) => index < 2 || one.values.some(Boolean));
  return { times: times.map((at) => at / 1000), series };
}

function Charts({ stats, from, to, bucket }) {
  const { times, series } = useMemo(() => chartOf(stats.buckets, from, to, bucket === "hour" ? HOUR : 24 * HOUR), [stats]);
  const total = (name) => stats.buckets.reduce((sum, one) => sum + (one[name] ?? 0), 0);
  const { runtime } = stats;
  const numbers = [["Jobs", runtime.Count.toLocaleString()], ["Half took at most", formatDuration(runtime.P50)], ["90 % at most", formatDuration(runtime.P90)], ["99 % at most", formatDuration(runtime.P99)], ["The longest", formatDuration(runtime.Max)]];
  const label = `${bucket === "hour" ? "Jobs an hour" : "Jobs a day"}: ${count(total("Succeeded"), "success", "successes")}, ${count(total("Failed"), "failure")} in all`;
  const columns = [
    ["Name", (one) => html`<a class="job-link" href=${link("jobs", null, { q: one.JobName })}><${Text}>${one.JobName}<//></a>`],
    ["Jobs", (one) => one.Count.toLocaleString()], ["Failed", (one) => (one.Failed ? html`<span class="fault">${one.Failed.toLocaleString()}</span>` : "0")],
    ["Typical runtime", (one) => formatDuration(one.P50)],
  ];
  return html`<div class="charts"><dl class="numbers">${numbers.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <section class="panel"><h2>${bucket === "hour" ? "Jobs an hour" : "Jobs a day"}</h2><${StackedBars} times=${times} series=${series} label=${label} /></section>
    <section><h2>Most frequent</h2><${Table} records=${stats.names} id="JobName" columns=${columns} /></section></div>`;
}

export default function History({ route }) {
  const { me } = useSession();
  const { range = "day", scope } = route.params;
  const [, span, bucket] = RANGES[range] ?? RANGES.day;
  const [from, to] = useMemo(() => [Date.now() - span, Date.now()], [range, scope]);
  useTitle("History");
  const query = { from: new Date(from).toISOString(), to: new Date(to).toISOString(), bucket, scope };
  const result = useData((signal) => getIfThere("results/stats", query, signal).then((answer) => answer ?? { stats: null }), [range, scope]);
  const change = (news) => go(link("history", null, { range, scope, ...news }), { replace: true });
  return html`<header class="view-head"><h1>History</h1><div class="actions">
      ${me.permissions && may(me, "see_all_jobs") && html`<label class="check"><input type="checkbox" checked=${scope === "all"} onChange=${(event) => change({ scope: event.target.checked ? "all" : "" })} /> Everybody's jobs</label>`}
      <select aria-label="Range" value=${range} onChange=${(event) => change({ range: event.target.value })}>${Object.entries(RANGES).map(([name, [words]]) => html`<option value=${name} key=${name}>${words}</option>`)}</select></div></header>
    <${Loaded} result=${result} what="Counting">${({ stats }) => (stats && stats.runtime.Count
      ? html`<${Charts} key=${from} stats=${stats} from=${from} to=${to} bucket=${bucket} />`
      : html`<${Empty} title="Nothing has ended in this time">Choose a longer range, or come back when jobs have run.<//>`)}<//>`;
}
