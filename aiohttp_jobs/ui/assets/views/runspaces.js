// The warm workers of the Runspace mode: which are busy, with whose job, and what they use.
import { html } from "../core/html.js";
import { get, post } from "../core/api.js";
import { formatBytes } from "../core/format.js";
import { useTitle } from "../core/hooks.js";
import { useLiveData } from "../core/live-data.js";
import { link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { Text } from "../core/text.js";
import { Age, Badge, Button, Empty, Loaded, toast } from "../parts/parts.js";
import { Table } from "../parts/table.js";

const COLUMNS = [
  ["Worker", (one) => html`<span class="mono">${one.Worker}</span>`],
  ["State", (one) => html`<${Badge} status=${one.Busy ? "Running" : ""}>${one.Busy ? "Busy" : "Idle"}<//>`],
  ["User", (one) => html`<${Text}>${one.UserID ?? ""}<//>`],
  [
    "Job",
    (one) => (one.JobID ? html`<a class="mono" href=${link("job", one.JobID)}>${one.JobID.slice(0, 8)}</a>` : ""),
  ],
  ["Jobs served", (one) => one.JobsServed],
  ["Memory", (one) => formatBytes(one.MemoryBytes)],
  ["Started", (one) => html`<${Age} at=${one.StartedAt} />`],
];

export default function Runspaces() {
  const { me } = useSession();
  useTitle("Runspaces");
  const result = useLiveData((signal) => get("runspaces", {}, signal), [], "");
  const restart = async () => {
    try {
      await post("mainloop/restart");
      toast("The next MainLoop job in PowerShell begins a new session.");
    } catch (error) {
      toast(error.message, "bad");
    }
  };
  const mayRestart = may(me, "restart_mainloop") && me.interpreters.includes("powershell");
  return html`<header class="view-head"><h1>Runspaces</h1>
      ${mayRestart && html`<${Button} icon="again" onClick=${restart}>Restart the MainLoop session<//>`}</header>
    <p class="lead">Warm worker processes that run jobs in Runspace mode without having to start first.</p>
    <${Loaded} result=${result} what="Loading the workers">${({ runspaces }) => (runspaces.length
      ? html`<${Table} records=${runspaces} id="Worker" columns=${COLUMNS} />`
      : html`<${Empty} title="No worker yet">They start with the first job in Runspace mode.<//>`)}<//>`;
}
