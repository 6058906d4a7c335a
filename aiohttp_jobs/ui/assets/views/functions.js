// The host's own functions: the list; `#/functions/<name>` runs one by a form made of its parameters.
// `?from=<job id>` starts with that job's values.
import { html, useState } from "../core/html.js";
import { get, post } from "../core/api.js";
import { curlOf } from "../core/actions.js";
import { sentence as cronWords } from "../core/cron.js";
import { formatDuration } from "../core/format.js";
import { optionsOf, parametersOf, toRun } from "../core/functions.js";
import { useData, useTitle } from "../core/hooks.js";
import { entriesOf } from "../core/parameters.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { MODES, faults, faultsFrom, inOptions } from "../core/submission.js";
import { Text } from "../core/text.js";
import { Choices, Input, JobOptions } from "../parts/job-form.js";
import { Button, Empty, Fold, Loaded, Problem, copy } from "../parts/parts.js";
import { Table } from "../parts/table.js";
import { Values, focusFault, useValues } from "../parts/values.js";

const firstLine = (text) => text.split("\n")[0];

const COLUMNS = [
  ["Function", (one) => html`<a class="job-link" href=${link("functions", one.Name)}><${Text}>${one.Title}<//></a>`],
  ["Description", (one) => html`<${Text}>${firstLine(one.Description)}<//>`],
  ["Parameters", (one) => one.Parameters.map((parameter) => parameter.name).join(", ") || "none"],
  ["Name", (one) => html`<code>${one.Name}</code>`],
];

function List() {
  useTitle("Functions");
  const result = useData((signal) => get("functions", {}, signal), []);
  return html`
    <header class="view-head"><h1>Functions</h1></header>
    <${Loaded} result=${result} what="Loading the functions">${(
      { functions },
    ) => (functions.length ? html`<${Table} records=${functions} id="Name" columns=${COLUMNS} />` : html`
      <${Empty} title="No functions for you">This application has none that it lets people run, or none that your
        roles allow you to run.<//>
    `)}<//>
  `;
}

const scheduleWords = ({ Cron, Timezone, Enabled }) =>
  `${cronWords(Cron) || Cron}, ${Timezone}${Enabled ? "" : " (paused)"}`;

function Facts({ one }) {
  const facts = [
    ["Name", one.Name],
    ["Runs in", one.Modes.join(", ")],
    ["Roles", one.Roles.join(", ")],
    ["Time limit", one.TimeoutSeconds && formatDuration(one.TimeoutSeconds)],
    ["Runs with it", one.ConcurrencyKey && `never at once (${one.ConcurrencyKey})`],
    ["Schedule in the code", one.Schedule && scheduleWords(one.Schedule)],
  ].filter(([, value]) => value);
  return html`<section class="panel"><h2 class="visually-hidden">Details</h2><dl class="facts">${
    facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd><${Text}>${value}<//></dd></div>`)
  }</dl></section>`;
}

function Run({ one, job }) {
  const { me } = useSession();
  const parameters = parametersOf(one);
  const [form, setForm] = useState(() => optionsOf(one, me, job));
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const secrets = parameters.filter((parameter) => parameter.type === "secret");
  const values = useValues(parameters, entriesOf(parameters, job?.FunctionValues), error);
  const misset = faults(form, me);
  /** @type {Record<string, string>} */
  const problems = { ...misset, ...(error ? faultsFrom(error) : {}) };
  const given = { form, set: (news) => setForm((old) => ({ ...old, ...news })), problems };
  const body = () => toRun(one, form, values.toJSON());
  const checked = (element) => {
    setError(null);
    const isRight = values.check(element) && !Object.keys(misset).length;
    if (!isRight) focusFault();
    return isRight;
  };
  const submit = async (event) => {
    event.preventDefault();
    if (!checked(event.currentTarget) || busy) return;
    setBusy(true);
    try {
      const { jobId } = await post(`functions/${one.Name}/run`, body());
      go(link("job", jobId));
    } catch (failure) {
      setError(failure);
      setBusy(false);
      focusFault();
    }
  };
  const maySchedule = may(me, "submit") && !secrets.some((each) => each.required);
  const keys = (event) =>
    event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.currentTarget.requestSubmit();
  const schedule = (event) => {
    if (!checked(event.currentTarget.form)) return;
    const plain = Object.entries(values.toJSON()).filter(([name]) => !secrets.some((each) => each.name === name));
    go(link("schedules", "new", { function: one.Name, values: JSON.stringify(Object.fromEntries(plain)) }));
  };
  return html`<form class="form panel" onSubmit=${submit} onKeyDown=${keys} novalidate>
    <${Values} values=${values} />
    <${Fold} summary="Options: start, time limit, priority, retries, notices" needed=${
    inOptions(problems) || problems.jobName
  }>
      ${
    one.Modes.length > 1 && html`
      <${Choices} legend="Mode" name="executionMode" value=${form.executionMode} set=${given.set}
        options=${one.Modes.map((mode) => [mode, MODES[mode] ?? ""])} />
    `
  }
      <div class="grid"><${Input} name="jobName" label="Name of the job" ...${given} /></div>
      <${JobOptions} ownKey=${false} ...${given} /><//>
    ${error && html`<${Problem} error=${error} />`}
    <div class="form-end"><button class="button primary" disabled=${busy}>${busy ? "Submitting…" : "Run"}</button>
      <span class="hint"><kbd>Ctrl</kbd> + <kbd>Enter</kbd></span>
      ${maySchedule && html`<${Button} icon="schedules" onClick=${schedule}>Schedule<//>`}
      ${
    !secrets.length && html`<${Button} icon="copy" kind="bare" onClick=${(event) =>
      checked(event.currentTarget.form) && copy(curlOf(body(), `functions/${one.Name}/run`), "curl command")}>
      Copy as curl<//>`
  }</div>
  </form>`;
}

/** The function and, to run it as a job of before ran, that job. */
async function load(name, from, signal) {
  const [{ function: one }, before] = await Promise.all([
    get(`functions/${encodeURIComponent(name)}`, {}, signal),
    from && get(`jobs/${encodeURIComponent(from)}`, {}, signal),
  ]);
  return { one, job: before?.job };
}

function One({ name, from }) {
  const result = useData((signal) => load(name, from, signal), [name, from]);
  useTitle(result.data?.one.Title ?? "Function");
  return html`
    <p class="crumb"><a href=${link("functions")}>Functions</a></p>
    <${Loaded} result=${result} what="Loading the function">${({ one, job }) =>
    html`
        <header class="view-head"><h1><${Text}>${one.Title}<//></h1></header>
        ${one.Description && html`<p class="lead prose"><${Text}>${one.Description}<//></p>`}
        <div class="job-top"><${Run} one=${one} job=${job} /><${Facts} one=${one} /></div>
      `}<//>
  `;
}

export default function Functions({ route }) {
  return route.id ? html`<${One} name=${route.id} from=${route.params.from} />` : html`<${List} />`;
}
