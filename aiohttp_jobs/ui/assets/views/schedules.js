// Schedules: the list, and `#/schedules/new` or `#/schedules/<id>` to make, look at and change one.
import { html, useState } from "../core/html.js";
import { get, request } from "../core/api.js";
import { Cron, useCron } from "../core/cron.js";
import { formatShort, timeZone } from "../core/format.js";
import { useData, useTitle } from "../core/hooks.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { blank, faults, formOf, toRequest } from "../core/submission.js";
import { Text } from "../core/text.js";
import { Input, JobFields, JobOptions } from "../parts/job-form.js";
import { Icon } from "../parts/icons.js";
import { Age, Badge, Empty, Field, Fold, Loaded, Problem, Sure, toast } from "../parts/parts.js";
import { Table } from "../parts/table.js";

const OVERLAP = { skip: "skip this run", queue: "run it afterwards", replace: "stop the old run" };
const MISFIRE = { skip: "leave it out", run_once: "run once to catch up" };

async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    toast(error.message, "bad");
    return false;
  }
}

function Enabled({ schedule, reload }) {
  const toggle = () => attempt(() => request("PATCH", `schedules/${schedule.ScheduleID}`, { body: { enabled: !schedule.Enabled } })).then(reload);
  return html`<label class="check"><input type="checkbox" role="switch" checked=${schedule.Enabled} onChange=${toggle} />
    <span class="visually-hidden">${schedule.Name} </span>${schedule.Enabled ? "On" : "Off"}</label>`;
}

function Last({ schedule }) {
  if (schedule.LastError && (!schedule.LastFiredAt || schedule.LastErrorAt > schedule.LastFiredAt)) {
    return html`<span class="fault"><${Text}>${schedule.LastError}<//></span>`;
  }
  if (!schedule.LastFiredAt) return "never";
  return html`<a href=${link("job", schedule.LastJobID)}><${Age} at=${schedule.LastFiredAt} /></a>`;
}

function List({ route }) {
  const { me } = useSession();
  const { scope } = route.params;
  const result = useData((signal) => get("schedules", { scope }, signal), [scope]);
  useTitle("Schedules");
  const add = may(me, "submit") && html`<a class="button primary" href=${link("schedules", "new")}><${Icon} name="new" /><span>New schedule</span></a>`;
  const columns = [
    ["Name", (one) => html`<a class="job-link" href=${link("schedules", one.ScheduleID)}><${Text}>${one.Name}<//></a>`],
    ["When", (one) => html`<${Cron} line=${one.Cron} /> <span class="muted">${one.Timezone}</span>`],
    ["Next run", (one) => (one.NextRunAt ? html`<${Age} at=${one.NextRunAt} />` : "none")],
    ["Last run", (one) => html`<${Last} schedule=${one} />`],
    ...(scope === "all" ? [["Owner", (one) => html`<${Text}>${one.UserID}<//>`]] : []),
    ["", (one) => html`<${Enabled} schedule=${one} reload=${result.reload} />`],
  ];
  return html`<header class="view-head"><h1>Schedules</h1><div class="actions">
      ${me.permissions && may(me, "see_all_jobs") && html`<label class="check"><input type="checkbox" checked=${scope === "all"}
        onChange=${() => go(link("schedules", null, { scope: scope === "all" ? "" : "all" }), { replace: true })} /> Everybody's</label>`}${add}</div></header>
    <${Loaded} result=${result} what="Loading the schedules">${({ schedules }) => (schedules.length
      ? html`<${Table} records=${schedules} id="ScheduleID" columns=${columns} />`
      : html`<${Empty} title="No schedules yet">A schedule submits a job again and again, at the moments that a cron line names.<//>`)}<//>`;
}

function NextRuns({ schedule }) {
  const result = useData((signal) => get(`schedules/${schedule.ScheduleID}/next`, { count: 5 }, signal), [schedule.UpdatedAt]);
  return html`<section class="panel"><h2>Next five runs</h2><p class="hint">In your time zone, ${timeZone}</p>
    <${Loaded} result=${result}>${({ runs }) => (runs.length
      ? html`<ol class="runs">${runs.map((run) => html`<li key=${run.ScheduledFor}><time datetime=${run.FiresAt}>${formatShort(run.FiresAt)}</time><span class="muted">${schedule.Timezone === timeZone ? "" : `${run.Local.slice(11, 16)} in ${schedule.Timezone}`}</span></li>`)}</ol>`
      : html`<p>None: it is off, or at its end.</p>`)}<//></section>`;
}

function emptyForm(me) {
  return { ...blank(me), name: "", cron: "0 6 * * *", timezone: timeZone, overlapPolicy: "skip", misfirePolicy: "skip", jitter: "" };
}

function formOfSchedule(schedule, me) {
  return {
    ...emptyForm(me), ...formOf(schedule.Job, me), name: schedule.Name, cron: schedule.Cron, timezone: schedule.Timezone,
    overlapPolicy: schedule.OverlapPolicy, misfirePolicy: schedule.MisfirePolicy, jitter: schedule.JitterSeconds ? String(schedule.JitterSeconds) : "",
  };
}

function bodyOfForm(form) {
  const { name, cron, timezone, overlapPolicy, misfirePolicy } = form;
  const job = toRequest({ ...form, start: "now", jobName: form.jobName.trim() || name });
  return { name, cron, timezone, overlapPolicy, misfirePolicy, jitterSeconds: Number(form.jitter || 0), job };
}

function Choice({ name, label, options, form, set }) {
  return html`<${Field} label=${label}>${(ids) => html`<select ...${ids} value=${form[name]} onChange=${(event) => set({ [name]: event.target.value })}>
    ${Object.entries(options).map(([value, words]) => html`<option value=${value} key=${value}>${words}</option>`)}</select>`}<//>`;
}

function Form({ schedule, saved }) {
  const { me } = useSession();
  const [form, setForm] = useState(() => (schedule ? formOfSchedule(schedule, me) : emptyForm(me)));
  const [error, setError] = useState(null);
  const [tried, setTried] = useState(false);
  const cron = useCron(form.cron);
  const set = (news) => setForm((old) => ({ ...old, ...news }));
  const wrong = { ...faults({ ...form, start: "now", jobName: form.jobName || form.name || "x" }, me), ...(form.name.trim() ? {} : { name: "Give the schedule a name." }) };
  if (cron.fault) wrong.cron = cron.fault;
  const problems = tried || cron.fault ? (tried ? wrong : { cron: cron.fault }) : {};
  for (const { field, message } of error?.details ?? []) problems[field.replace(/^job\./, "")] = message;
  const save = async (event) => {
    event.preventDefault();
    setTried(true);
    setError(null);
    if (Object.keys(wrong).length) return;
    try {
      const path = schedule ? `schedules/${schedule.ScheduleID}` : "schedules";
      const answer = await request(schedule ? "PATCH" : "POST", path, { body: bodyOfForm(form) });
      saved(answer.schedule);
    } catch (failure) {
      setError(failure);
    }
  };
  const given = { form, set, problems };
  return html`<form class="form" onSubmit=${save} novalidate>
    <div class="grid">
      <${Input} name="name" label="Name" ...${given} />
      <${Input} name="cron" label="Cron line" hint=${cron.text ?? "minute hour day month weekday"} spellcheck=${false} ...${given} />
      <${Input} name="timezone" label="Time zone" list="time-zones" ...${given} />
      <datalist id="time-zones">${(Intl.supportedValuesOf?.("timeZone") ?? []).map((zone) => html`<option value=${zone} key=${zone} />`)}</datalist>
    </div>
    <div class="grid">
      <${Choice} name="overlapPolicy" label="When the last run still goes on" options=${OVERLAP} ...${given} />
      <${Choice} name="misfirePolicy" label="When a run was missed" options=${MISFIRE} ...${given} />
      <${Input} name="jitter" label="Spread over seconds" inputmode="decimal" placeholder="0" ...${given} />
    </div>
    <h2>The job</h2>
    <${JobFields} ...${given} />
    <${Fold} summary="Options: time limit, priority, retries, notices"><${JobOptions} start=${false} ...${given} /><//>
    ${error && html`<${Problem} error=${error} />`}
    <div class="form-end"><button class="button primary">${schedule ? "Save" : "Create"}</button><a class="button" href=${link("schedules")}>Back</a></div>
  </form>`;
}

function One({ id }) {
  const result = useData((signal) => get(`schedules/${encodeURIComponent(id)}`, {}, signal), [id]);
  useTitle(result.data?.schedule.Name ?? "Schedule");
  const gone = async (schedule) => { if (await attempt(() => request("DELETE", `schedules/${schedule.ScheduleID}`))) go(link("schedules")); };
  return html`<p class="crumb"><a href=${link("schedules")}>Schedules</a></p>
    <${Loaded} result=${result} what="Loading the schedule">${({ schedule }) => html`
      <header class="view-head"><div class="title"><h1><${Text}>${schedule.Name}<//></h1><${Badge} status=${schedule.Enabled ? "Succeeded" : ""}>${schedule.Enabled ? "On" : "Off"}<//></div>
        <div class="actions"><${Enabled} schedule=${schedule} reload=${result.reload} /><${Sure} icon="trash" label="Delete" question="Delete the schedule?" onSure=${() => gone(schedule)} /></div></header>
      <div class="job-top"><${NextRuns} schedule=${schedule} /></div>
      <${Form} key=${schedule.UpdatedAt} schedule=${schedule} saved=${() => { toast("Saved."); result.reload(); }} />`}<//>`;
}

function New() {
  useTitle("New schedule");
  return html`<p class="crumb"><a href=${link("schedules")}>Schedules</a></p><header class="view-head"><h1>New schedule</h1></header>
    <${Form} saved=${(schedule) => go(link("schedules", schedule.ScheduleID))} />`;
}

export default function Schedules({ route }) {
  if (route.id === "new") return html`<${New} />`;
  return route.id ? html`<${One} id=${route.id} />` : html`<${List} route=${route} />`;
}
