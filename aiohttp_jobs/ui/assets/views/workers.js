// The hosts and workers that share the work: where, what they have and run, and draining one.
import { html } from "../core/html.js";
import { get, post } from "../core/api.js";
import { useTitle } from "../core/hooks.js";
import { useLiveData } from "../core/live-data.js";
import { link } from "../core/router.js";
import { Text } from "../core/text.js";
import { Age, Badge, Empty, Loaded, Sure, toast } from "../parts/parts.js";
import { Table } from "../parts/table.js";

function stateOf(one) {
  if (!one.Alive) return ["Interrupted", "Not heard of"];
  if (one.Draining) return ["Cancelled", "Draining"];
  return one.Running ? ["Running", "Busy"] : ["", "Idle"];
}

function State({ one }) {
  const [status, words] = stateOf(one);
  return html`<${Badge} status=${status}>${words}<//>`;
}

const jobsOf = (one) =>
  html`
    <span>${one.Running} of ${Object.values(one.Places).reduce((sum, most) => sum + most, 0)}${
      one.Jobs.map((job) =>
        html`<span key=${job.JobID}>, <a href=${link("job", job.JobID)}><${Text}>${job.JobName}<//></a></span>`
      )
    }</span>
  `;

export default function Workers() {
  useTitle("Workers");
  const result = useLiveData((signal) => get("workers", {}, signal), [], "all");
  const drain = async (one) => {
    try {
      await post(`workers/${one.WorkerID}/drain`);
      toast(`${one.Name} takes no more jobs, and ends when those that it runs have ended.`);
    } catch (error) {
      toast(error.message, "bad");
    }
    result.reload();
  };
  const columns = [
    ["Name", (one) => html`<${Text}>${one.Name || one.Machine}<//>`],
    ["Kind", (one) => one.Kind],
    ["State", (one) => html`<${State} one=${one} />`],
    ["Machine", (one) => html`<span><${Text}>${one.Machine}<//> <span class="mono">${one.Pid}</span></span>`],
    ["Labels", (one) => html`<${Text}>${one.Labels.join(", ")}<//>`],
    ["Runs", jobsOf],
    ["Version", (one) => one.Version],
    ["Last heard", (one) => html`<${Age} at=${one.LastHeardAt} />`],
    [
      "",
      (one) =>
        one.Kind === "worker" && one.Alive && !one.Draining && html`
          <${Sure} icon="stop" label="Drain" question=${`Let ${one.Name} take no more jobs?`} onSure=${() =>
            drain(one)} />
        `,
    ],
  ];
  return html`<header class="view-head"><h1>Workers</h1></header>
    <p class="lead">Hosts answer requests and may run jobs; workers only run jobs.
      A drained worker finishes its jobs and exits.</p>
    <${Loaded} result=${result} what="Loading the workers">${({ workers }) => (workers.length
      ? html`<${Table} records=${workers} id="WorkerID" columns=${columns} />`
      : html`<${Empty} title="No workers">Here the hosts run all jobs themselves.<//>`)}<//>`;
}
