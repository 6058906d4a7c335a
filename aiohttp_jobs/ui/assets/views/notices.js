// Notices of ended jobs: what was sent, what waits, what failed and why; try again, or drop.
import { html } from "../core/html.js";
import { getIfThere, post, request } from "../core/api.js";
import { useData, useTitle } from "../core/hooks.js";
import { go, link } from "../core/router.js";
import { Text } from "../core/text.js";
import { Age, Badge, Button, Empty, Loaded, Sure, toast } from "../parts/parts.js";
import { Table } from "../parts/table.js";

const STATES = { pending: ["Pending", "Waiting"], sent: ["Succeeded", "Sent"], failed: ["Failed", "Failed"] };

export default function Notices({ route }) {
  const { state } = route.params;
  useTitle("Notices");
  const result = useData((signal) => getIfThere("notices", { state, limit: 200 }, signal).then((answer) => answer ?? { notices: [] }), [state]);
  const act = async (work, words) => {
    try {
      await work();
      toast(words);
    } catch (error) {
      toast(error.message, "bad");
    }
    result.reload();
  };
  const columns = [
    ["State", (one) => { const [status, words] = STATES[String(one.State).toLowerCase()] ?? ["", one.State]; return html`<${Badge} status=${status}>${words}<//>`; }],
    ["Job", (one) => html`<a class="job-link" href=${link("job", one.JobID)}><${Text}>${one.JobName}<//></a>`],
    ["To", (one) => html`${one.Channel}: <${Text}>${[one.Target].flat().join(", ")}<//>`], ["Event", (one) => one.Event],
    ["Attempts", (one) => html`${one.Attempts}${one.LastError && html` <span class="fault"><${Text}>${one.LastError}<//></span>`}`],
    ["When", (one) => html`<${Age} at=${one.SentAt ?? one.NextAttemptAt ?? one.CreatedAt} />`],
    ["", (one) => html`<span class="actions">${String(one.State).toLowerCase() !== "sent" && html`<${Button} icon="again" onClick=${() => act(() => post(`notices/${one.NoticeID}/retry`), "It is tried again.")}>Send again<//>`}
      <${Sure} icon="trash" label="Delete" question="Delete the notice?" onSure=${() => act(() => request("DELETE", `notices/${one.NoticeID}`), "The notice was deleted.")} /></span>`],
  ];
  return html`<header class="view-head"><h1>Notices</h1><select aria-label="State" value=${state ?? ""} onChange=${(event) => go(link("notices", null, { state: event.target.value }), { replace: true })}>
      <option value="">Every state</option><option value="pending">Waiting</option><option value="sent">Sent</option><option value="failed">Failed</option></select></header>
    <${Loaded} result=${result} what="Loading the notices">${({ notices }) => (notices.length
      ? html`<${Table} records=${notices} id="NoticeID" columns=${columns} />`
      : html`<${Empty} title="No notices">A job, a schedule or a template can ask for an e-mail or a web request when it ends.<//>`)}<//>`;
}
