// A template's triggers: addresses at which other programs run it. Their secrets are shown once.
import { html, useState } from "../core/html.js";
import { get, post, request } from "../core/api.js";
import { useData } from "../core/hooks.js";
import { link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { faultsFrom } from "../core/submission.js";
import { Text } from "../core/text.js";
import {
  aboutTrigger,
  blankCondition,
  blankTrigger,
  PROOFS,
  SOURCES,
  sourcesOf,
  toTrigger,
  triggerFaults,
} from "../core/triggers.js";
import { Input } from "./job-form.js";
import { Age, Button, Dialog, Field, Loaded, Problem, ShownOnce, Sure, copy, toast } from "./parts.js";
import { Table } from "./table.js";
import { focusFault } from "./values.js";

const addressOf = (trigger) => new URL(trigger.Path, location.origin).href;

function Given({ parameter, entry, change, problems }) {
  const { name } = parameter;
  const problem = problems[`${entry.source}s.${name}`];
  const label = entry.source === "path" ? `Path of ${name}` : `Value of ${name}`;
  return html`
    <li class="parameter">
      <${Field} label=${`${name} comes from`}>${(ids) =>
        html`<select ...${ids} value=${entry.source} onChange=${(event) => change({ source: event.target.value })}>${
          sourcesOf(parameter).map((source) => html`<option value=${source} key=${source}>${SOURCES[source]}</option>`)
        }</select>`}<//>
      ${entry.source !== "none" && html`
        <${Field} label=${label} problem=${problem}>${(ids) =>
          html`<input ...${ids} value=${entry.text} spellcheck=${false}
            placeholder=${entry.source === "path" ? "commits[0].author.name" : ""}
            onInput=${(event) => change({ text: event.target.value })} />`}<//>
      `}
    </li>
  `;
}

function Condition({ one, at, change, remove, problems }) {
  const cell = (name, label, placeholder) =>
    html`<${Field} label=${label} problem=${problems[`only.${at}.${name}`]}>${(ids) =>
      html`<input ...${ids} value=${one[name]} placeholder=${placeholder} spellcheck=${false}
        onInput=${(event) => change({ [name]: event.target.value })} />`}<//>`;
  return html`
    <li class="parameter">
      ${cell("path", "The payload at", "ref")}
      ${cell("equals", "has to be", "refs/heads/main")}
      <${Button} icon="trash" kind="bare" label=${`Remove condition ${at + 1}`} onClick=${remove} />
    </li>
  `;
}

function Create({ template, onClose, onMade }) {
  const parameters = template.Parameters;
  const [form, setForm] = useState(() => blankTrigger(parameters));
  const [tried, setTried] = useState(false);
  const [error, setError] = useState(null);
  const set = (news) => setForm((old) => ({ ...old, ...news }));
  const wrong = triggerFaults(form);
  const problems = { ...(error ? faultsFrom(error) : {}), ...(tried ? wrong : {}) };
  const submit = async (event) => {
    event.preventDefault();
    setTried(true);
    setError(null);
    if (Object.keys(wrong).length) return focusFault();
    try {
      onMade(await post(`templates/${template.TemplateID}/triggers`, toTrigger(form, parameters)));
    } catch (failure) {
      setError(failure);
      focusFault();
    }
  };
  const setGiven = (name) => (news) => set({ given: { ...form.given, [name]: { ...form.given[name], ...news } } });
  const setOnly = (at) => (news) =>
    set({ only: form.only.map((one, index) => (index === at ? { ...one, ...news } : one)) });
  return html`
    <${Dialog} title="New trigger" onClose=${onClose}>
      <form class="form" onSubmit=${submit} novalidate>
        <${Input} name="name" label="Name" form=${form} set=${set} problems=${problems} autocomplete="off" />
        <${Field} label="Senders prove that they know the secret by" problem=${problems.proof}>${(ids) =>
          html`<select ...${ids} value=${form.proof} onChange=${(event) => set({ proof: event.target.value })}>${
            Object.entries(PROOFS).map(([proof, words]) => html`<option value=${proof} key=${proof}>${words}</option>`)
          }</select>`}<//>
        ${parameters.length > 0 && html`
          <fieldset class="field">
            <legend>Parameters</legend>
            <ul class="charts">${parameters.map((one) =>
              html`<${Given} key=${one.name} parameter=${one} entry=${form.given[one.name]}
                change=${setGiven(one.name)} problems=${problems} />`
            )}</ul>
          </fieldset>
        `}
        <fieldset class="field">
          <legend>Only where</legend>
          <p class="hint">Without a condition, whatever is sent with the secret runs the template.</p>
          <ul class="charts">${form.only.map((one, at) =>
            html`<${Condition} key=${at} one=${one} at=${at} change=${setOnly(at)} problems=${problems}
              remove=${() => set({ only: form.only.filter((_, index) => index !== at) })} />`
          )}</ul>
          <p>
            <${Button} icon="new" onClick=${() =>
              set({ only: [...form.only, blankCondition()] })}>Add a condition<//></p>
        </fieldset>
        ${error && html`<${Problem} error=${error} />`}
        <div class="form-end"><button class="button primary">Create</button></div>
      </form>
    <//>
  `;
}

function Address({ trigger }) {
  const address = addressOf(trigger);
  return html`<span class="address"><code>${address}</code>
    <${Button} icon="copy" kind="bare" label=${`Copy the address of ${trigger.Name}`}
      onClick=${() => copy(address, "The address was")} /></span>`;
}

function Enabled({ trigger, act }) {
  const toggle = () =>
    act(() => request("PATCH", `triggers/${trigger.TriggerID}`, { body: { enabled: !trigger.Enabled } }));
  return html`<label class="check">
    <input type="checkbox" role="switch" checked=${trigger.Enabled} disabled=${!trigger.MayRotate}
      onChange=${toggle} />
    <span class="visually-hidden">${trigger.Name} </span>${trigger.Enabled ? "On" : "Off"}</label>`;
}

function LastUse({ trigger }) {
  if (!trigger.LastUsedAt) return "never";
  return html`<a href=${link("job", trigger.LastJobID)}><${Age} at=${trigger.LastUsedAt} /></a>`;
}

export function Triggers({ template }) {
  const { me } = useSession();
  const [creating, setCreating] = useState(false);
  const [shown, setShown] = useState(null);
  const path = `templates/${encodeURIComponent(template.TemplateID)}/triggers`;
  const result = useData((signal) => get(path, {}, signal), [path]);
  const act = async (work) => {
    try {
      await work();
    } catch (error) {
      toast(error.message, "bad");
    }
    result.reload();
  };
  const rotate = (trigger) =>
    act(async () => {
      const { secret } = await post(`triggers/${trigger.TriggerID}/rotate`);
      setShown({ trigger, secret });
    });
  const remove = (trigger) =>
    act(async () => {
      await request("DELETE", `triggers/${trigger.TriggerID}`);
      toast("The trigger was removed.");
    });
  const columns = [
    ["Name", (one) =>
      html`<b><${Text}>${one.Name}<//></b>
        ${one.UserID !== me.userId && html`<span> of <${Text}>${one.UserID}<//></span>`}`],
    ["Address", (one) => html`<${Address} trigger=${one} />`],
    ["Proof", (one) => one.Proof],
    ["Takes", (one) => html`<${Text}>${aboutTrigger(one) || "nothing"}<//>`],
    ["State", (one) => html`<${Enabled} trigger=${one} act=${act} />`],
    ["Last used", (one) => html`<${LastUse} trigger=${one} />`],
    ["", (one) =>
      html`<span class="actions">
        ${one.MayRotate && may(me, "manage_triggers") && html`
          <${Sure} icon="again" label="Rotate" question="End the old secret?" onSure=${() => rotate(one)} />`}
        <${Sure} icon="trash" label="Remove" question="Remove the trigger?" onSure=${() => remove(one)} /></span>`],
  ];
  return html`
    <section class="triggers" aria-labelledby="triggers">
      <div class="panel-head"><h2 id="triggers">Triggers</h2>
        ${template.MayRun && may(me, "manage_triggers") &&
          html`<${Button} icon="new" onClick=${() => setCreating(true)}>New trigger<//>`}</div>
      <p class="lead">Addresses at which other programs, such as GitHub or Alertmanager,
        run this template, each as whoever made it.</p>
      <${Loaded} result=${result} what="Loading the triggers">${({ triggers }) =>
        triggers.length
          ? html`<${Table} records=${triggers} id="TriggerID" columns=${columns} />`
          : html`<p class="hint">It has none.</p>`}<//>
      ${creating && html`<${Create} template=${template} onClose=${() => setCreating(false)} onMade=${(answer) => {
        setCreating(false);
        setShown(answer);
        result.reload();
      }} />`}
      ${shown && html`
        <${ShownOnce} title="Copy the secret now" label="The secret" secret=${shown.secret}
          onClose=${() => setShown(null)}><p>It is for <${Address} trigger=${shown.trigger} /></p><//>
      `}
    </section>
  `;
}
