// Sessions: where somebody is signed in, with what and since when; signing out there, or everywhere.
import { html } from "../core/html.js";
import { get, post, request } from "../core/api.js";
import { useData, useTitle } from "../core/hooks.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { Text } from "../core/text.js";
import { Age, Button, Empty, Loaded, Sure, acting, toast } from "../parts/parts.js";
import { Table } from "../parts/table.js";

export default function Sessions({ route }) {
  const { me, reload } = useSession();
  const { scope } = route.params;
  useTitle("Sessions");
  const result = useData((signal) => get("sessions", { scope }, signal), [scope]);
  const act = acting(result.reload);
  const end = (session) => act(() => request("DELETE", `sessions/${session.SessionID}`), "The session was signed out.");
  const others = () => act(() => post("sessions/revoke", { keepCurrent: true }), "You are signed out everywhere else.");
  const everywhere = () => post("sessions/revoke").then(reload, (error) => toast(error.message, "bad"));
  const columns = [
    ...(scope === "all" ? [["User", (one) => html`<b><${Text}>${one.UserID}<//></b>`]] : []),
    ["Browser", (one) => html`<${Text}>${one.UserAgent || "unknown"}<//>`],
    ["Address", (one) => one.Address || "unknown"],
    ["Signed in", (one) => html`<${Age} at=${one.SignedInAt} />`],
    ["Last used", (one) => html`<${Age} at=${one.LastUsedAt} />`],
    [
      "",
      (
        one,
      ) => (one.Current
        ? "this session"
        : html`<${Sure} icon="out" label="Sign out" question="Sign this session out?" onSure=${() => end(one)} />`),
    ],
  ];
  if (me.proof === "api_key" && !may(me, "manage_all_sessions")) {
    return html`
      <h1>Sessions</h1>
      <${Empty} title="Not with a key">An API key cannot show or end sessions. Sign in to the application for that.<//>
    `;
  }
  return html`
    <header class="view-head">
      <h1>Sessions</h1>
      <div class="actions">
          ${may(me, "manage_all_sessions") &&
            html`<label class="check"><input type="checkbox" checked=${scope === "all"}
        onChange=${(event) =>
              go(link("sessions", null, { scope: event.target.checked ? "all" : "" }), {
                replace: true,
              })} /> All users</label>`}
          ${me.proof === "session" && html`
            <${Button}
              onClick=${others}>Sign out everywhere else<//>
            <${Button} icon="out" onClick=${everywhere}>Sign out everywhere<//>
          `}
        </div>
    </header>
    <p class="lead">Where you are signed in. If you do not recognize one, sign it out and change your password.</p>
    <${Loaded} result=${result} what="Loading the sessions">${(
      { sessions },
    ) => (sessions.length
      ? html`<${Table} records=${sessions} id="SessionID" columns=${columns} />` :
      html`<${Empty} title="No sessions here">The application keeps its own.<//>`)}<//>
  `;
}
