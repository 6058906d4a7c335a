// API keys: make one (its secret is shown once), disable, delete.
import { html, useState } from "../core/html.js";
import { get, post, request } from "../core/api.js";
import { formatMoment } from "../core/format.js";
import { useData, useTitle } from "../core/hooks.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { Text } from "../core/text.js";
import { Input } from "../parts/job-form.js";
import { Age, Button, Dialog, Empty, Loaded, Problem, ShownOnce, Sure, acting } from "../parts/parts.js";
import { Table } from "../parts/table.js";

function Create({ onClose, onMade }) {
  const { me } = useSession();
  const [form, setForm] = useState({ name: "", addresses: "", days: "90", userId: "", service: false });
  const [roles, setRoles] = useState(me.roles.filter((role) => role !== "authenticated"));
  const [problems, setProblems] = useState({});
  const [error, setError] = useState(null);
  const set = (news) => setForm((old) => ({ ...old, ...news }));
  const submit = async (event) => {
    event.preventDefault();
    const wrong = {};
    if (!form.name.trim()) wrong.name = "Give the key a name, such as the program that will use it.";
    if (!/^\d{0,4}$/.test(form.days)) wrong.days = "Enter a number of days, or leave it empty.";
    setProblems(wrong);
    if (Object.keys(wrong).length) return;
    const addresses = form.addresses.split(/[\s,]+/).filter(Boolean);
    const body = { name: form.name.trim(), roles, allowedIPs: addresses.length ? addresses : undefined };
    if (form.userId.trim()) body.userId = form.userId.trim();
    if (form.service) body.service = true;
    if (form.days) body.expiresAt = new Date(Date.now() + Number(form.days) * 86400000).toISOString();
    try {
      onMade(await post("api-keys", body));
    } catch (failure) {
      setError(failure);
    }
  };
  const toggle = (role) => setRoles(roles.includes(role) ? roles.filter((one) => one !== role) : [...roles, role]);
  return html`
    <${Dialog} title="New API key" onClose=${onClose}>
      <form class="form" onSubmit=${submit} novalidate>
        <${Input} name="name" label="Name" form=${form} set=${set} problems=${problems} />
        ${may(me, "manage_all_api_keys") && html`
          <${Input} name="userId" label="For the user" placeholder=${me.userId}
            hint="Whose jobs the key's program submits and reads" form=${form} set=${set} problems=${problems} />
          <label
            class="check"><input type="checkbox" checked=${form.service} onChange=${() =>
              set({ service: !form.service })} /> A service key, for a program whose user has no account</label>
        `}
        ${me.roles.length > 1 &&
          html`<fieldset class="field"><legend>Roles</legend>${
            me.roles.filter((role) => role !== "authenticated").map((role) =>
              html`
                <label class="check"
                  key=${role}><input type="checkbox" checked=${roles.includes(role)} onChange=${() =>
                    toggle(role)} /> ${role}</label>
              `
            )
          }</fieldset>`}
        <${Input} name="days" label="Expires after days" inputmode="numeric" hint="Empty: never"
          form=${form} set=${set} problems=${problems} />
        <${Input} name="addresses" label="Only from these addresses" placeholder="10.0.0.0/8, 192.0.2.7"
          form=${form} set=${set} problems=${problems} />
        ${error && html`<${Problem} error=${error} />`}
        <div class="form-end"><button class="button primary">Create</button></div>
      </form>
      <//>
  `;
}

export default function Keys({ route }) {
  const { me } = useSession();
  const { scope } = route.params;
  useTitle("API keys");
  const result = useData((signal) => get("api-keys", { scope }, signal), [scope]);
  const [creating, setCreating] = useState(false);
  const [made, setMade] = useState(null);
  const act = acting(result.reload);
  const toggle = (key) =>
    act(
      () => request("PATCH", `api-keys/${key.KeyID}`, { body: { enabled: !key.Enabled } }),
      key.Enabled ? "The key is disabled." : "The key is enabled.",
    );
  const columns = [
    ["Name", (key) =>
      html`<b><${Text}>${key.Name}<//></b>${key.Service && " (service key)"}${
        key.DisabledBy &&
        html` <span title="Only they or an administrator can enable it again">
          (disabled by <${Text}>${key.DisabledBy}<//>)</span>`
      }`],
    ...(scope === "all" ? [["User", (key) => html`<${Text}>${key.UserID}<//>`]] : []),
    ["Roles", (key) => key.Roles.join(", ")],
    ["Addresses", (key) => key.AllowedIPs?.join(", ") || "any"],
    ["Created", (key) => html`<${Age} at=${key.CreatedAt} />`],
    [
      "Expires",
      (
        key,
      ) => (key.ExpiresAt
        ? html`<span title=${formatMoment(key.ExpiresAt)}><${Age} at=${key.ExpiresAt} /></span>`
        : "never"),
    ],
    [
      "",
      (key) =>
        html`<span class="actions"><${Button} onClick=${() => toggle(key)}>${key.Enabled ? "Disable" : "Enable"}<//>
      <${Sure} icon="trash" label="Delete" question="Delete the key?" onSure=${() =>
          act(() => request("DELETE", `api-keys/${key.KeyID}`), "The key was deleted.")} /></span>`,
    ],
  ];
  if (me.proof === "api_key")
    return html`
      <h1>API keys</h1>
      <${Empty} title="Not with a key">An API key cannot create or show others. Sign in to the application for that.<//>
    `;
  return html`
    <header class="view-head">
      <h1>API keys</h1>
      <div class="actions">
          ${may(me, "manage_all_api_keys") &&
            html`<label class="check"><input type="checkbox" checked=${scope === "all"}
        onChange=${(event) =>
              go(link("keys", null, { scope: event.target.checked ? "all" : "" }), {
                replace: true,
              })} /> All users</label>`}
          <${Button} kind="primary" icon="new" onClick=${() => setCreating(true)}>New key<//></div></header>
        <p class="lead">With a key, a program submits and reads jobs as you, with those
          of your roles that you give it.</p>
        <${Loaded} result=${result} what="Loading the keys">${(
          { apiKeys },
        ) => (apiKeys.length
          ? html`<${Table} records=${apiKeys} id="KeyID" columns=${columns} />` :
          html`<${Empty} title="No keys yet">
            Create one for each program, so that each can be revoked by itself.<//>`)}<//>
        ${creating && html`<${Create} onClose=${() => setCreating(false)} onMade=${(answer) => {
          setCreating(false);
          setMade(answer);
          result.reload();
        }} />`}
        ${made && html`<${ShownOnce} title="Copy the key now" label="The key" secret=${made.secret}
          onClose=${() => setMade(null)} />`}
  `;
}
