// The list of jobs: live, filtered and searched by what the address says, usable by keyboard alone.
import { html, useMemo, useRef, useState } from "../core/html.js";
import { cancel, copyCurl, hasEnded, runAgain } from "../core/actions.js";
import { count, formatDuration } from "../core/format.js";
import { useKeys, useNow, useTitle } from "../core/hooks.js";
import { isFiltered } from "../core/job-filters.js";
import { useJobList } from "../core/job-list.js";
import { progressWords, shownProgress } from "../core/progress.js";
import { go, link } from "../core/router.js";
import { useSelection } from "../core/selection.js";
import { may, useSession } from "../core/session.js";
import { Text, markedPlain } from "../core/text.js";
import { DeleteMatching, SelectionBar } from "../parts/job-bulk.js";
import { Filters } from "../parts/job-filters.js";
import { Age, Badge, Button, Empty, Loading, Problem, kindOf } from "../parts/parts.js";
import { Bar } from "../parts/progress.js";

const FIRST_ROWS = 100;

/** Rows are drawn again only when something of theirs has changed: a long list is told of many changes a second. */
function useRows() {
  const drawn = useRef(new Map());
  return (key, parts, draw) => {
    const old = drawn.current.get(key);
    if (old && old.parts.every((part, at) => part === parts[at])) return old.row;
    const row = draw();
    drawn.current.set(key, { parts, row });
    return row;
  };
}

function runtimeOf(job, now) {
  if (job.Status === "Running" && job.DateStarted)
    return Math.max(0, (now - new Date(job.DateStarted).getTime()) / 1000);
  return hasEnded(job) ? job.Runtime : null;
}

function Runtime({ job, longest }) {
  const now = useNow(job.Status === "Running" ? 1000 : 3600000);
  if (job.Status === "Pending" && job.RunAt)
    return html`<span class="runtime">starts <${Age} at=${job.RunAt} /></span>`;
  const seconds = runtimeOf(job, now);
  if (seconds === null || seconds === undefined) return null;
  const progress = shownProgress(job);
  if (progress) {
    return html`<span class="runtime">${formatDuration(seconds)}</span>
      <${Bar} progress=${progress} label=${`Progress of ${markedPlain(job.JobName)}`} />
      <span class="told"><${Text}>${progressWords(progress)}<//></span>`;
  }
  // By the logarithm, so that seconds and hours can stand side by side.
  const share = Math.log1p(seconds * 10) / Math.log1p(Math.max(longest, seconds) * 10);
  return html`
    <span class="runtime">${formatDuration(seconds)}</span>
    <span class=${`bar ${kindOf(job.Status)}`} aria-hidden="true"><i style=${{
      width: `${Math.max(2, share * 100)}%`,
    }}></i></span>
  `;
}

function Row({ job, longest, mayRun, selected, onSelect }) {
  const name = markedPlain(job.JobName);
  return html`
    <tr data-job=${job.JobID} class=${selected ? "selected" : ""}>
      <td
        class="col-select"><label><input type="checkbox" aria-label=${`Select ${name}`} checked=${selected} onClick=${(
          event,
        ) => onSelect(job.JobID, event.shiftKey)} /></label></td>
      <td class="col-state">
        <${Badge} status=${job.Status}>${job.Cancelling && !hasEnded(job) ? "Cancelling" : undefined}<//></td>
        <td class="col-job">
          <a class="job-link" href=${link("job", job.JobID)}><${Text}>${job.JobName}<//></a>
          ${job.Snippet && html`
            <p class="snippet">
              <${Text}>${job.Snippet}<//></p>
          `}
        </td>
        <td class="col-user"><${Text}>${job.UserID}<//></td>
        <td class="col-mode">${job.ExecutionMode}${job.Attempt > 1
          ? html`<span class="attempt">attempt ${job.Attempt}</span>`
          : ""}</td>
        <td class="col-age"><${Age} at=${job.SubmittedAt ?? job.DateStarted} /></td>
        <td class="col-runtime"><${Runtime} job=${job} longest=${longest} /></td>
        <td class="col-actions">
          ${!hasEnded(job) &&
            html`<${Button} icon="stop" kind="bare" label=${`Cancel ${name}`} onClick=${() => cancel(job)} />`}
          ${hasEnded(job) && mayRun &&
            html`<${Button} icon="again" kind="bare" label=${`Run ${name} again`} onClick=${() => runAgain(job)} />`}
          <${Button} icon="copy" kind="bare" label=${`Copy ${name} as curl`} onClick=${() => copyCurl(job)} />
        </td>
      </tr>
  `;
}

function Live({ status }) {
  const words = {
    live: "Live",
    loading: "Connecting",
    reconnecting: "Connection lost; connecting again",
    error: "Not live",
  };
  return html`<span class=${`live ${status}`} role="status"><i aria-hidden="true"></i>${words[status]}</span>`;
}

function None({ params, maySubmit }) {
  if (isFiltered(params)) {
    return html`<${Empty} title="No job fits" action=${html`<a class="button" href=${link("jobs")}>Show all jobs</a>`}>
      Nothing among your jobs matches these filters.<//>`;
  }
  const first = maySubmit && html`<a class="button primary" href=${link("new")}>Run your first command</a>`;
  return html`<${Empty} title="No jobs yet" action=${first}>
    Jobs appear here the moment they are submitted: from this page, by the API, or by a schedule.<//>`;
}

export function Jobs({ route }) {
  const { me } = useSession();
  const { params } = route;
  const list = useJobList(params);
  const [shown, setShown] = useState(FIRST_ROWS);
  const search = useRef(null);
  const body = useRef(null);
  const rowOf = useRows();
  useTitle("Jobs");
  const change = (news) => go(link("jobs", null, { ...params, ...news }), { replace: true });
  const rows = list ? list.rows() : [];
  const visible = rows.slice(0, shown);
  const longest = useMemo(() => Math.max(1, ...visible.map((job) => job.Runtime ?? 0)), [visible.length, shown]);
  const order = visible.map((job) => job.JobID);
  const selection = useSelection(order);
  const toggle = useRef(null);
  toggle.current = selection.toggle;
  const selected = visible.filter((job) => selection.has(job.JobID));
  const chosen = () => {
    const row = document.activeElement?.closest?.("tr[data-job]");
    return row ? rows.find((job) => job.JobID === row.dataset.job) : undefined;
  };
  const step = (by) => {
    const links = [...(body.current?.querySelectorAll(".job-link") ?? [])];
    const row = document.activeElement?.closest?.("tr[data-job]");
    const at = links.findIndex((one) => one.closest("tr") === row);
    const next = links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by))];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
  const onChosen = (allowed, act) => () => { const job = chosen(); if (job && allowed(job)) act(job); };
  const leave = () => { if (selected.length) selection.clear(); else document.activeElement?.blur(); };
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => (chosen() ? step(1) : false),
    ArrowUp: () => (chosen() ? step(-1) : false),
    "/": () => search.current.focus(),
    c: onChosen((job) => !hasEnded(job), cancel),
    r: onChosen(hasEnded, runAgain),
    x: onChosen(() => true, (job) => selection.toggle(job.JobID)),
    Escape: leave,
  });
  const more = list?.cursor || rows.length > shown;
  const showMore = () => {
    setShown(shown + FIRST_ROWS);
    if (rows.length <= shown + FIRST_ROWS && list.cursor) list.more();
  };
  const status = list?.status ?? "loading";
  const every = selected.length === visible.length;
  const mayRun = may(me, "submit");
  return html`
    <header class="view-head"><h1>Jobs</h1><${Live} status=${status} /></header>
    <${Filters} params=${params} change=${change} mayAll=${may(me, "see_all_jobs")} search=${search} />
    ${list?.error && html`<${Problem} error=${list.error} retry=${() => list.load()} />`}
    ${status === "loading" && !rows.length && html`<${Loading} what="Loading the jobs" />`}
    ${status !== "loading" && !list.error && !rows.length && html`<${None} params=${params} maySubmit=${mayRun} />`}
    ${selected.length > 0 &&
      html`<${SelectionBar} jobs=${selected} clear=${selection.clear} mayRun=${mayRun} me=${me} />`}
    ${rows.length > 0 && html`
      <table class="jobs">
        <thead>
          <tr>
            <th scope="col"
              class="col-select"><label><input type="checkbox"
                aria-label="Select every job shown" checked=${every} indeterminate=${!every &&
                selected.length > 0}
                onClick=${() => (every ? selection.clear() : selection.set(order))} /></label></th>
            <th scope="col">State</th>
            <th scope="col">Job</th>
            <th scope="col">User</th>
            <th scope="col">Mode</th>
            <th scope="col">Submitted</th>
            <th scope="col">Runtime</th>
            <th scope="col"><span class="visually-hidden">Actions</span></th>
          </tr>
        </thead>
        <tbody ref=${body}>${visible.map((job) =>
          rowOf(job.JobID, [job, longest, selection.has(job.JobID)], () =>
            html`
              <${Row} key=${job.JobID} job=${job} longest=${longest} mayRun=${mayRun}
                selected=${selection.has(job.JobID)} onSelect=${(...given) => toggle.current(...given)} />
            `)
        )}</tbody>
      </table>
      <p class="after-list">${count(visible.length, "job")} shown${more && html`
        <${Button} onClick=${showMore} disabled=${list.loadingMore}>${list.loadingMore ? "Loading…" : "Show more"}<//>
      `}
            <${DeleteMatching} params=${params} /></p>
    `}
  `;
}

export default Jobs;
