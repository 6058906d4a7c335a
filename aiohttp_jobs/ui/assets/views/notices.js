// Notices of ended jobs: what was sent, what waits, what failed and why; try again, or drop.
import { html, useEffect } from "../core/html.js";
import { get, post, request } from "../core/api.js";
import { useTitle } from "../core/hooks.js";
import { useLiveData } from "../core/live-data.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { Text } from "../core/text.js";
import { Age, Badge, Button, Empty, Loaded, Sure, acting } from "../parts/parts.js";
import { Table } from "../parts/table.js";

const MOST = 200;
const LEAST_WAIT_MS = 2000;
const LONGEST_WAIT_MS = 3600000;
const STATES = { pending: ["Pending", "Waiting"], sent: ["Succeeded", "Sent"], failed: ["Failed", "Failed"] };

/** Look again when the next attempt is due: what the outbox does is not in the feed of jobs. */
function useNextAttempt(result) {
  const notices = result.data?.notices ?? [];
  const due = Math.min(
    ...notices.filter((one) => one.State === "pending").map((one) =>
      new Date(one.NextAttemptAt ?? one.CreatedAt).getTime()
    ),
  );
  useEffect(() => {
    if (!Number.isFinite(due)) return undefined;
    const timer = setTimeout(
      result.reload,
      Math.min(Math.max(LEAST_WAIT_MS, due - Date.now() + LEAST_WAIT_MS), LONGEST_WAIT_MS),
    );
    return () => clearTimeout(timer);
  }, [result.data]);
}

export default function Notices({ route }) {
  const { me } = useSession();
  const { state, scope } = route.params;
  useTitle("Notices");
  const result = useLiveData((signal) => get("notices", { state, scope, limit: MOST }, signal), [state, scope], scope);
  useNextAttempt(result);
  const change = (news) => go(link("notices", null, { state, scope, ...news }), { replace: true });
  const act = acting(result.reload);
  const columns = [
    ["State", (one) => {
      const [status, words] = STATES[one.State] ?? ["", one.State];
      return html`<${Badge} status=${status}>${words}<//>`;
    }],
    ["Job", (one) => html`<a class="job-link" href=${link("job", one.JobID)}><${Text}>${one.JobName}<//></a>`],
    ...(scope === "all" ? [["User", (one) => html`<${Text}>${one.UserID}<//>`]] : []),
    ["To", (one) => html`${one.Channel}: <${Text}>${one.Target}<//>`],
    ["Event", (one) => one.Event],
    ["Attempts", (one) =>
      html`${one.Attempts}${
        one.LastError && html` <span class="fault"><${Text}>${one.LastError}<//></span>`
      }`],
    ["When", (one) => html`<${Age} at=${one.SentAt ?? one.NextAttemptAt ?? one.CreatedAt} />`],
    [
      "",
      (one) =>
        html`<span class="actions">${
          one.State !== "sent" && html`<${Button} icon="again" onClick=${() =>
            act(() =>
              post(`notices/${one.NoticeID}/retry`), "The notice will be sent again.")}>Send again<//>`
        }
      <${Sure} icon="trash" label="Delete" question="Delete the notice?" onSure=${() =>
          act(() => request("DELETE", `notices/${one.NoticeID}`), "The notice was deleted.")} /></span>`,
    ],
  ];
  return html`
    <header class="view-head">
      <h1>Notices</h1>
      <div class="actions">
          ${may(me, "manage_all_notices") &&
            html`<label class="check"><input type="checkbox" checked=${scope === "all"} onChange=${(event) =>
              change({ scope: event.target.checked ? "all" : "" })} /> All users</label>`}
          <select aria-label="State" value=${state ?? ""} onChange=${(event) => change({ state: event.target.value })}>
          <option value="">Every state</option><option value="pending">Waiting</option>
          <option value="sent">Sent</option>
          <option value="failed">Failed</option></select></div>
    </header>
    <${Loaded} result=${result} what="Loading the notices">${(
      { notices },
    ) => (notices.length
      ? html`<${Table} records=${notices} id="NoticeID" columns=${columns} />`
      : html`<${Empty} title="No notices">
          A job, a schedule or a template can ask for an e-mail or a web request when it ends.
        <//>`)}<//>
  `;
}
