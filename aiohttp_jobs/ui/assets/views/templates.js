// Templates: the list; `#/templates/<id>` runs one by a form made of its parameters and has its
// triggers; `?edit=1` and `/new` make them.
import { html, useState } from "../core/html.js";
import { get, post, request } from "../core/api.js";
import { useData, useTitle } from "../core/hooks.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { blank, faults, faultsFrom, inOptions } from "../core/submission.js";
import { entriesOf } from "../core/parameters.js";
import { emptyTemplate, formOfTemplate, toRun, toTemplate } from "../core/templates.js";
import { Text } from "../core/text.js";
import { Highlighted } from "../parts/highlight.js";
import { Icon } from "../parts/icons.js";
import { Input, JobFields, JobOptions, Start } from "../parts/job-form.js";
import { Parameters } from "../parts/parameters.js";
import { Age, Empty, Fold, Loaded, Problem, Sure, toast } from "../parts/parts.js";
import { Table } from "../parts/table.js";
import { Triggers } from "../parts/triggers.js";
import { Values, focusFault, useValues } from "../parts/values.js";

const COLUMNS = [
  ["Name", (one) => html`<a class="job-link" href=${link("templates", one.TemplateID)}><${Text}>${one.Name}<//></a>`],
  ["Description", (one) => html`<${Text}>${one.Description ?? ""}<//>`],
  ["Parameters", (one) => html`<${Text}>${one.Parameters.map((parameter) => parameter.name).join(", ") || "none"}<//>`],
  ["Owner", (one) => html`<${Text}>${one.UserID}<//>`], ["Changed", (one) => html`<${Age} at=${one.UpdatedAt} />`],
];

function List() {
  const { me } = useSession();
  useTitle("Templates");
  const result = useData((signal) => get("templates", {}, signal), []);
  return html`
    <header class="view-head"><h1>Templates</h1>
          ${may(me, "manage_templates") &&
            html`<a class="button primary" href=${
              link("templates", "new")
            }><${Icon} name="new" /><span>New template</span></a>`}</header>
    <${Loaded} result=${result} what="Loading the templates">${(
      { templates },
    ) => (templates.length ? html`<${Table} records=${templates} id="TemplateID" columns=${COLUMNS} />` : html`
      <${Empty}
        title="No templates yet">A template is a command with blanks. Others fill them in on a form
        and run it, without being able to change it.<//>
    `)}<//>
  `;
}

const RUN_OPTIONS = ["delay", "runAt", "priority", "jobName"];

function Run({ template, given }) {
  const { me } = useSession();
  const [form, setForm] = useState(() => ({ ...blank(me), command: "x", jobName: template.Name }));
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const values = useValues(template.Parameters, given, error);
  const misset = faults(form, me);
  const submit = async (event) => {
    event.preventDefault();
    setError(null);
    if (!values.check(event.currentTarget) || Object.keys(misset).length || busy) return focusFault();
    setBusy(true);
    try {
      const body = { values: values.toJSON(), ...toRun(form) };
      const { jobId } = await post(`templates/${template.TemplateID}/run`, body);
      go(link("job", jobId));
    } catch (failure) {
      setError(failure);
      setBusy(false);
      focusFault();
    }
  };
  const options = {
    form,
    set: (news) => setForm((old) => ({ ...old, ...news })),
    problems: { ...misset, ...(error ? faultsFrom(error) : {}) },
  };
  return html`<form class="form panel" onSubmit=${submit} novalidate>
    <${Values} values=${values} />
    <${Fold} summary="Options: start, priority, name" needed=${
    RUN_OPTIONS.some((name) => options.problems[name])
  }><div class="grid">
      <${Start} ...${options} />
      <${Input} name="priority" label="Priority" inputmode="numeric" placeholder=${
    String(template.Priority ?? 5)
  } hint=${`0 (last) to ${me.maxPriority} (first)`} ...${options} />
      <${Input} name="jobName" label="Name of the job" ...${options} /></div><//>
    ${error && html`<${Problem} error=${error} />`}
    <div class="form-end"><button class="button primary" disabled=${busy || !template.MayRun || template.Problem}>${
    busy ? "Submitting…" : "Run"
  }</button>
      ${!template.MayRun && html`<span class="hint">Your roles do not allow you to run it.</span>`}
      ${template.Problem && html`<span class="hint"><${Text}>${template.Problem}<//></span>`}</div>
  </form>`;
}

function Edit({ template }) {
  const { me } = useSession();
  const [form, setForm] = useState(() => (template ? formOfTemplate(template, me) : emptyTemplate(me)));
  const [tried, setTried] = useState(false);
  const [error, setError] = useState(null);
  const set = (news) => setForm((old) => ({ ...old, ...news }));
  const wrong = faults({ ...form, start: "now" }, me);
  const refused = error ? faultsFrom(error) : {};
  const problems = { ...(tried ? wrong : {}), ...refused, ...(refused.name && { jobName: refused.name }) };
  const save = async (event) => {
    event.preventDefault();
    setTried(true);
    setError(null);
    if (Object.keys(wrong).length) {
      focusFault();
      return;
    }
    try {
      const path = template ? `templates/${template.TemplateID}` : "templates";
      const answer = await request(template ? "PUT" : "POST", path, { body: toTemplate(form) });
      toast("Saved.");
      go(link("templates", answer.template.TemplateID));
    } catch (failure) {
      setError(failure);
    }
  };
  const given = { form, set, problems };
  return html`
    <form class="form" onSubmit=${save} novalidate>
      <p
        class="lead">Parameters reach the command as variables, never as part of its text:
          see the reference on templates.</p>
      <${JobFields} fillName=${false} ...${given} />
      <${Parameters} parameters=${form.parameters} set=${(parameters) => set({ parameters })} problems=${problems} />
      <${Input} name="runRoles" label="Roles that may run it" placeholder="operator, task_manager"
        hint="Separated by commas; empty: only you and administrators" ...${given} />
      <${Fold} summary="Options: time limit, priority, retries, notices"
        needed=${inOptions(problems)}><${JobOptions} start=${false} ...${given} /><//>
        ${error && html`<${Problem} error=${error} />`}
        <div class="form-end"><button class="button primary">${template
          ? "Save"
          : "Create"}</button><a class="button" href=${link("templates", template?.TemplateID)}>Back</a></div>
      </form>
  `;
}

/** The template and, to run it as a job of before ran, that job's values. */
async function load(id, from, signal) {
  const [{ template }, job] = await Promise.all([
    get(`templates/${encodeURIComponent(id)}`, {}, signal),
    from && get(`jobs/${encodeURIComponent(from)}`, {}, signal),
  ]);
  return { template, given: entriesOf(template.Parameters, job?.job.TemplateValues) };
}

function One({ id, editing, from }) {
  const { me } = useSession();
  const result = useData((signal) => load(id, from, signal), [id, editing, from]);
  useTitle(result.data?.template.Name ?? "Template");
  const remove = async () => {
    try {
      await request("DELETE", `templates/${encodeURIComponent(id)}`);
      go(link("templates"));
    } catch (error) {
      toast(error.message, "bad");
    }
  };
  return html`
    <p class="crumb"><a href=${link("templates")}>Templates</a></p>
    <${Loaded} result=${result} what="Loading the template">${({ template, given }) =>
      html`
        <header class="view-head">
          <h1>
            <${Text}>${template.Name}<//></h1>${template.MayEdit && !editing && html`
              <div class="actions">
                <a class="button" href=${link("templates", id, {
                  edit: 1,
                })}><${Icon} name="edit" /><span>Edit</span></a>
                <${Sure} icon="trash" label="Delete" question="Delete the template?" onSure=${remove} />
              </div>
            `}</header>
        ${editing && template.MayEdit ? html`<${Edit} template=${template} />` : html`
          ${template.Description && html`
            <p class="lead">
              <${Text}>${template.Description}<//></p>
          `}
          <div class="job-top">
            <${Run} template=${template} given=${given} />
            <pre class="code" tabindex="0" aria-label="Command"><${Highlighted} text=${template
              .Command} interpreter=${template.Interpreter ?? "shell"} /></pre>
          </div>
          ${may(me, "manage_triggers") && html`<${Triggers} template=${template} />`}
        `}
      `}<//>
  `;
}

function New() {
  useTitle("New template");
  return html`
    <p class="crumb"><a href=${link("templates")}>Templates</a></p>
    <header class="view-head">
      <h1>New template</h1>
    </header>
    <${Edit} />
  `;
}

export default function Templates({ route }) {
  if (route.id === "new") return html`<${New} />`;
  return route.id
    ? html`<${One} id=${route.id} editing=${Boolean(route.params.edit)} from=${route.params.from} />`
    : html`<${List} />`;
}
