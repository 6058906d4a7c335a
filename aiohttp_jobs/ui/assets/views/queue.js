// What waits, in the order in which it will run; pausing, for those who may.
import { html } from "../core/html.js";
import { get, post } from "../core/api.js";
import { cancel } from "../core/actions.js";
import { formatShort } from "../core/format.js";
import { useTitle } from "../core/hooks.js";
import { useLiveData } from "../core/live-data.js";
import { link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { Text, markedPlain } from "../core/text.js";
import { Age, Button, Empty, Loaded, toast } from "../parts/parts.js";
import { Table } from "../parts/table.js";

function Numbers({ queue }) {
  const numbers = [["Running", queue.running], ["Queued", queue.queued], ["Not due yet", queue.pending], [
    "Overall limit",
    queue.limits.overall ?? "no limit",
  ]];
  return html`<dl class="numbers">${
    numbers.map(([name, value]) =>
      html`
        <div key=${name}>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>
      `
    )
  }</dl>`;
}

export default function Queue() {
  const { me } = useSession();
  useTitle("Queue");
  const scope = may(me, "see_all_jobs") ? "all" : "";
  const result = useLiveData((signal) => get("queue", {}, signal), [], scope);
  const pause = async (paused) => {
    try {
      await post(paused ? "queue/resume" : "queue/pause");
    } catch (error) {
      toast(error.message, "bad");
    }
    result.reload();
  };
  const columns = [
    ["Place", (job) => job.Position],
    ["Job", (job) => html`<a class="job-link" href=${link("job", job.JobID)}><${Text}>${job.JobName}<//></a>`],
    ["User", (job) => html`<${Text}>${job.UserID}<//>`],
    ["Mode", (job) => job.ExecutionMode],
    ["Priority", (job) => job.Priority],
    [
      "Waits",
      (
        job,
      ) => (job.RunAt && new Date(job.RunAt) > new Date()
        ? `until ${formatShort(job.RunAt)}`
        : html`<${Age} at=${job.SubmittedAt} />`),
    ],
    [
      "",
      (job) =>
        html`<${Button} icon="stop" kind="bare" label=${`Cancel ${markedPlain(job.JobName)}`} onClick=${() =>
          cancel(job)} />`,
    ],
  ];
  return html`<${Loaded} result=${result} what="Loading the queue">${({ queue }) =>
    html`
      <header class="view-head"><h1>Queue</h1>
        ${may(me, "manage_queue") &&
          html`<${Button} icon=${queue.paused ? "play" : "pause"} kind=${queue.paused ? "primary" : ""} onClick=${() =>
            pause(queue.paused)}>${queue.paused ? "Resume" : "Pause"}<//>`}</header>
      ${queue.paused && html`
        <p class="notice"
          role="status">The queue is paused: no job starts. Running jobs go on, and submitting stays possible.</p>
      `}
      <${Numbers} queue=${queue} />
      ${queue.jobs.length ? html`<${Table} records=${queue.jobs} id="JobID" columns=${columns} />` : html`
        <${Empty}
          title="No jobs are waiting">Jobs that cannot start at once are listed here, in their order.<//>
      `}
    `}<//>`;
}
