// One job: how it stands, its command, its attempts, and its output as it comes.
import { html } from "../core/html.js";
import { cancel, copyCurl, hasEnded, remove, runAgain } from "../core/actions.js";
import { formatDuration, formatMoment, formatNear } from "../core/format.js";
import { useKeys, useNow, useTitle } from "../core/hooks.js";
import { useJob } from "../core/job-state.js";
import { shownProgress } from "../core/progress.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { Text, markedPlain } from "../core/text.js";
import { Highlighted } from "../parts/highlight.js";
import { Icon } from "../parts/icons.js";
import { Output } from "../parts/output.js";
import { Badge, Button, Loading, Problem, Sure, kindOf } from "../parts/parts.js";
import { Progress } from "../parts/progress.js";
import { ReturnValue } from "../parts/return-value.js";

function Facts({ job }) {
  const now = useNow(hasEnded(job) ? 3600000 : 500);
  const running = job.Status === "Running" && job.DateStarted
    ? (now - new Date(job.DateStarted).getTime()) / 1000
    : null;
  const facts = [
    ["User", job.UserID],
    ["Function", job.Function],
    ["Mode", job.ExecutionMode],
    ["Interpreter", job.Interpreter],
    ["Submitted", formatNear(job.SubmittedAt)],
    ["Starts", hasEnded(job) || job.DateStarted ? "" : formatNear(job.RunAt)],
    ["Started", formatNear(job.DateStarted)],
    ["Completed", formatNear(job.DateCompleted)],
    ["Runtime", formatDuration(running ?? job.Runtime)],
    ["Exit code", job.ExitCode],
    ["Place in the queue", hasEnded(job) ? null : job.Position],
    ["Priority", job.Priority],
    ["Concurrency key", job.ConcurrencyKey],
    ["Labels", job.Labels?.join(", ")],
    ["Time limit", job.TimeoutSeconds && formatDuration(job.TimeoutSeconds)],
    ["Cancelled by", job.CancelledBy],
    ["Worker", job.Worker],
    ["Description", job.Description],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`<dl class="facts">${
    facts.map(([name, value]) =>
      html`
        <div key=${name}>
          <dt>${name}</dt>
          <dd>
            <${Text}>${value}<//></dd></div>
      `
    )
  }
    <div class="wide"><dt>Job id</dt><dd class="mono">${job.JobID}</dd></div></dl>`;
}

function Attempts({ job, attempts }) {
  const now = useNow(1000);
  const known = attempts.length ? attempts : job.Attempts ?? [];
  if (!known.length) return null;
  const all = [...known];
  if (job.Status === "Running") all.push({ Attempt: job.Attempt, DateStarted: job.DateStarted, Status: "Running" });
  const start = new Date(all[0].DateStarted).getTime();
  const endOf = (attempt) => (attempt.DateCompleted ? new Date(attempt.DateCompleted).getTime() : now);
  const span = Math.max(1, Math.max(...all.map(endOf)) - start);
  const share = (milliseconds) => `${Math.max(0, Math.min(100, (milliseconds / span) * 100))}%`;
  return html`
    <section class="panel">
      <h2>Attempts</h2>
      <ol class="attempts">${all.map((attempt) => {
        const from = new Date(attempt.DateStarted).getTime();
        return html`<li key=${attempt.Attempt}><span>Attempt ${attempt.Attempt}</span>
          <${Badge} status=${attempt.Status} />
      <span class=${`lane ${kindOf(attempt.Status)}`} title=${`${formatMoment(attempt.DateStarted)}, ${
          formatDuration((endOf(attempt) - from) / 1000)
        }`}>
        <i style=${{ left: share(from - start), width: share(endOf(attempt) - from) }}></i></span></li>`;
  })}</ol></section>`;
}

/** The form in which the job can be changed and run again. */
function formOf({ JobID: from, TemplateID, Function: name }) {
  if (name) return link("functions", name, { from });
  return TemplateID ? link("templates", TemplateID, { from }) : link("new", null, { from });
}

function Actions({ job, me }) {
  const gone = async () => { if (await remove(job)) go(link("jobs")); };
  return html`<div class="actions">
    ${
    !hasEnded(job) && html`<${Button} icon="stop" kind="danger" disabled=${job.Cancelling} onClick=${() =>
      cancel(job)}>${job.Cancelling ? "Cancelling" : "Cancel"}<//>`
  }
    ${
    (may(me, "submit") || job.Function) && html`<${Button} icon="again" onClick=${() => runAgain(job)}>Run again<//>
      <a class="button" href=${formOf(job)}><${Icon} name="edit" /><span>Edit and run</span></a>`
  }
    <${Button} icon="copy" onClick=${() => copyCurl(job)}>Copy as curl<//>
    ${
    hasEnded(job) && me.userId === job.UserID &&
    html`<${Sure} icon="trash" label="Delete" question="Delete the result?" onSure=${gone} />`
  }
  </div>`;
}

export default function Job({ route }) {
  const { me } = useSession();
  const state = useJob(route.id);
  const job = state?.job;
  useTitle(job ? markedPlain(job.JobName) : "Job");
  useKeys({
    c: () => job && !hasEnded(job) && cancel(job), r: () => job && runAgain(job), Escape: () => go(link("jobs")),
  });
  if (!job) {
    if (!state?.error) return html`<${Loading} what="Loading the job" />`;
    return html`
      <p class="crumb"><a href=${link("jobs")}>Jobs</a></p>
      <${Problem} error=${state.error} retry=${() => {
        state.error = null;
        state.start();
      }} />
    `;
  }
  return html`
    <p class="crumb"><a href=${link("jobs")}>Jobs</a></p>
    <header class="view-head">
      <div class="title">
        <h1>
          <${Text}>${job.JobName}<//></h1><${Badge} status=${job.Status}>${job.Cancelling && !hasEnded(job)
            ? "Cancelling"
            : undefined}<//></div>
      <${Actions} job=${job} me=${me} /></header>
    ${state.error && html`<${Problem} error=${state.error} retry=${() => location.reload()} />`}
    ${job.Status === "Queued" && job.WaitingFor && html`<p class="notice" role="status">${job.WaitingFor}</p>`}
    <div class="job-top">
      <${Progress} progress=${shownProgress(job, state.lines.progress)} />
      <section class="panel"><h2 class="visually-hidden">Details</h2><${Facts} job=${job} /></section>
      ${job.Command &&
        html`<pre class="code" tabindex="0" aria-label="Command"><${Highlighted} text=${job.Command} interpreter=${
          job.Interpreter ?? "shell"
        } /></pre>`}
      <${ReturnValue} value=${job.ReturnValue} />
      <${Attempts} job=${job} attempts=${state.attempts} />
    </div>
    <${Output} state=${state} />`;
}
