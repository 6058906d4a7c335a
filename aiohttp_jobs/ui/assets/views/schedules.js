// Schedules: the list, and `#/schedules/new` or `#/schedules/<id>` to make, look at and change one, of a command or of
// one of the host's functions.
import { html, useState } from "../core/html.js";
import { get, request } from "../core/api.js";
import { sentence } from "../core/cron.js";
import { formatShort, timeZone } from "../core/format.js";
import { optionsOf, parametersOf, toScheduledRun } from "../core/functions.js";
import { useData, useSettled, useTitle } from "../core/hooks.js";
import { entriesOf } from "../core/parameters.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import {
  emptySchedule,
  formOfSchedule,
  MISFIRE,
  OVERLAP,
  scheduleFaults,
  scheduleFaultsFrom,
  toMoment,
  toSchedule,
} from "../core/schedule-form.js";
import { MODES, inOptions } from "../core/submission.js";
import { Text } from "../core/text.js";
import { jsonText } from "../core/value-table.js";
import { Choices, Input, JobFields, JobOptions } from "../parts/job-form.js";
import { Icon } from "../parts/icons.js";
import { Age, Badge, Empty, Field, Fold, Loaded, Problem, Sure, toast } from "../parts/parts.js";
import { Table } from "../parts/table.js";
import { Values, focusFault, useValues } from "../parts/values.js";

const WHEN = ["cron", "timezone", "startAt", "endAt"];

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
  const toggle = () =>
    attempt(() => request("PATCH", `schedules/${schedule.ScheduleID}`, { body: { enabled: !schedule.Enabled } })).then(
      reload,
    );
  return html`<label class="check">
    <input type="checkbox" role="switch" checked=${schedule.Enabled} onChange=${toggle} />
    <span class="visually-hidden">${schedule.Name} </span>${schedule.Enabled ? "On" : "Off"}</label>`;
}

function Last({ schedule }) {
  if (schedule.LastError && (!schedule.LastFiredAt || schedule.LastErrorAt > schedule.LastFiredAt)) {
    return html`<span class="fault"><${Text}>${schedule.LastError}<//></span>`;
  }
  if (!schedule.LastFiredAt) return "never";
  return html`<a href=${link("job", schedule.LastJobID)}><${Age} at=${schedule.LastFiredAt} /></a>`;
}

function Name({ one }) {
  return html`<a class="job-link" href=${link("schedules", one.ScheduleID)}><${Text}>${one.Name}<//></a>${
    one.FromCode && html`<span class="attempt">from the code</span>`
  }`;
}

function List({ route }) {
  const { me } = useSession();
  const { scope } = route.params;
  const result = useData((signal) => get("schedules", { scope }, signal), [scope]);
  useTitle("Schedules");
  const add = may(me, "submit") &&
    html`<a class="button primary" href=${
      link("schedules", "new")
    }><${Icon} name="new" /><span>New schedule</span></a>`;
  const columns = [
    ["Name", (one) => html`<${Name} one=${one} />`],
    ["When", (one) => html`<${Cron} line=${one.Cron} /> <span class="muted">${one.Timezone}</span>`],
    ["Next run", (one) => (one.NextRunAt ? html`<${Age} at=${one.NextRunAt} />` : "none")],
    ["Last run", (one) => html`<${Last} schedule=${one} />`],
    ...(scope === "all" ? [["Owner", (one) => html`<${Text}>${one.UserID}<//>`]] : []),
    ["", (one) => html`<${Enabled} schedule=${one} reload=${result.reload} />`],
  ];
  return html`
    <header class="view-head">
      <h1>Schedules</h1>
      <div class="actions">
          ${may(me, "manage_all_schedules") &&
            html`<label class="check"><input type="checkbox" checked=${scope === "all"}
        onChange=${() =>
              go(link("schedules", null, { scope: scope === "all" ? "" : "all" }), {
                replace: true,
              })} /> All users</label>`}${add}</div>
    </header>
    <${Loaded} result=${result} what="Loading the schedules">${(
      { schedules },
    ) => (schedules.length ? html`<${Table} records=${schedules} id="ScheduleID" columns=${columns} />` : html`
      <${Empty}
        title="No schedules yet">A schedule submits a job again and again, at the moments that a cron line names.<//>
    `)}<//>
  `;
}

function Runs({ runs, timezone }) {
  return html`<ol class="runs">${
    runs.map((run) =>
      html`<li key=${run.ScheduledFor}><time datetime=${run.FiresAt}>${formatShort(run.FiresAt)}</time>
    <span class="muted">${timezone === timeZone ? "" : `${run.Local.slice(11, 16)} in ${timezone}`}</span></li>`
    )
  }</ol>`;
}

function NextRuns({ schedule }) {
  const result = useData((signal) => get(`schedules/${schedule.ScheduleID}/next`, { count: 5 }, signal), [
    schedule.UpdatedAt,
  ]);
  return html`
    <section class="panel">
      <h2>Next five runs</h2>
      <p class="hint">In your time zone, ${timeZone}</p>
      <${Loaded} result=${result}>${(
        { runs },
      ) => (runs.length
        ? html`<${Runs} runs=${runs} timezone=${schedule.Timezone} />`
        : html`<p>None: it is off, or at its end.</p>`)}<//></section>
  `;
}

/** What the server makes of the line that is being typed: `{runs, faults, isOld}`, old until it has answered anew. */
function usePreview({ cron, timezone, startAt, endAt }) {
  const now = [cron, timezone, startAt, endAt].join("\n");
  const key = useSettled(now);
  const result = useData(async (signal) => {
    const query = { cron, timezone, startAt: toMoment(startAt), endAt: toMoment(endAt), count: 5 };
    try {
      return { key, timezone, runs: (await get("schedules/preview", query, signal)).runs, faults: {} };
    } catch (error) {
      if (error.status !== 422) throw error;
      return { key, runs: null, faults: scheduleFaultsFrom(error) };
    }
  }, [key]);
  return result.data ? { ...result.data, isOld: result.data.key !== now } : { runs: null, faults: {} };
}

function Preview({ preview }) {
  if (!preview.runs) return null;
  return html`<section class="preview" aria-live="polite"><h2>It would run</h2>
    <p class="hint">In your time zone, ${timeZone}</p>
    ${
    preview.runs.length
      ? html`<${Runs} runs=${preview.runs} timezone=${preview.timezone} />`
      : html`<p>Never: the end comes first.</p>`
  }</section>`;
}

function Cron({ line }) {
  const words = sentence(line);
  return html`${words && html`<span>${words}</span> `}<code class="cron">${line}</code>`;
}

function Choice({ name, label, options, form, set }) {
  return html`<${Field} label=${label}>${(ids) =>
    html`<select ...${ids} value=${form[name]} onChange=${(event) => set({ [name]: event.target.value })}>
    ${
      Object.entries(options).map(([value, words]) => html`<option value=${value} key=${value}>${words}</option>`)
    }</select>`}<//>`;
}

/** What a schedule of the function `one` runs: its values, and where. */
function Run({ one, values, form, set }) {
  return html`<p>It runs <a href=${link("functions", one.Name)}><${Text}>${one.Title}<//></a>.</p>
    <${Values} values=${values} />
    ${
    one.Modes.length > 1 && html`
      <${Choices} legend="Mode" name="executionMode" value=${form.executionMode} set=${set}
        options=${one.Modes.map((mode) => [mode, MODES[mode] ?? ""])} />
    `
  }`;
}

const withoutJob = (error) =>
  error && { details: (error.details ?? []).map((one) => ({ ...one, field: one.field.replace(/^job\./, "") })) };

/** A form of nothing: what a schedule of somebody else's function is left as. */
const NO_FUNCTION = { Parameters: [], Modes: [], Title: "" };

/**
 * Of a schedule, or of a new one. `one` is the function that it runs, if it runs one; `isKept`: what it runs stays, as
 * its function is not there for the reader.
 */
function Form({ schedule, one, values: given, isKept, saved }) {
  const { me } = useSession();
  const runs = one ?? (isKept ? NO_FUNCTION : null);
  const [before] = useState(() => {
    const ofJob = runs ? optionsOf(runs, me, schedule?.Job) : undefined;
    return schedule ? formOfSchedule(schedule, me, ofJob) : { ...emptySchedule(me), ...ofJob, name: one?.Title ?? "" };
  });
  const [form, setForm] = useState(before);
  const [error, setError] = useState(null);
  const [tried, setTried] = useState(false);
  const parameters = runs ? parametersOf(runs).filter((each) => each.type !== "secret") : []; // none is kept
  const values = useValues(parameters, entriesOf(parameters, schedule?.Job.Values ?? given), withoutJob(error));
  const set = (news) => setForm((old) => ({ ...old, ...news }));
  const preview = usePreview(form);
  const retimed = !schedule || WHEN.some((name) => form[name] !== before[name]);
  // What the server said of an older line is shown, but does not stand in the way: it will look again.
  const wrong = { ...scheduleFaults(form, me), ...(preview.isOld ? {} : preview.faults) };
  const problems = { ...preview.faults, ...(tried ? wrong : {}), ...scheduleFaultsFrom(error) };
  const body = () => {
    if (isKept) return toSchedule(form, null);
    return one ? toSchedule(form, toScheduledRun(one, form, values.toJSON(), schedule?.Job)) : toSchedule(form);
  };
  const save = async (event) => {
    event.preventDefault();
    setTried(true);
    setError(null);
    if (!values.check(event.currentTarget) || Object.keys(wrong).length) {
      focusFault();
      return;
    }
    try {
      const path = schedule ? `schedules/${schedule.ScheduleID}` : "schedules";
      const answer = await request(schedule ? "PATCH" : "POST", path, { body: body() });
      saved(answer.schedule);
    } catch (failure) {
      setError(failure);
      focusFault();
    }
  };
  const fields = { form, set, problems };
  return html`<form class="form" onSubmit=${save} novalidate>
    <div class="grid">
      <${Input} name="name" label="Name" autocomplete="off" ...${fields} />
      <${Input} name="cron" label="Cron line" hint=${
    sentence(form.cron) || "minute hour day month weekday"
  } class="mono" spellcheck=${false} ...${fields} />
      <${Input} name="timezone" label="Time zone" list="time-zones" ...${fields} />
      <datalist id="time-zones">${
    (Intl.supportedValuesOf?.("timeZone") ?? []).map((zone) => html`<option value=${zone} key=${zone} />`)
  }</datalist>
    </div>
    ${retimed && html`<${Preview} preview=${preview} />`}
    <div class="grid three">
      <${Input} name="startAt" label="Not before" type="datetime-local" ...${fields} />
      <${Input} name="endAt" label="Not after" type="datetime-local" ...${fields} />
      <${Input} name="jitter" label="Spread over seconds" inputmode="decimal" placeholder="0"
          hint="At random, so that not all start at once" ...${fields} />
      <${Choice} name="overlapPolicy" label="If the last still runs" options=${OVERLAP} ...${fields} />
      <${Choice} name="misfirePolicy" label="If a run was missed" options=${MISFIRE} ...${fields} />
      <${Input} name="grace" label="Missed after seconds" inputmode="decimal" placeholder="60"
          hint="How late it may still start" ...${fields} />
    </div>
    <h2>The job</h2>
    ${
    isKept
      ? html`<${Kept} job=${schedule.Job} />`
      : one
      ? html`<${Run} one=${one} values=${values} ...${fields} />`
      : html`<${JobFields} name=${false} ...${fields} />`
  }
    ${
    !isKept && html`
      <${Fold} summary="Options: time limit, priority, retries, notices" needed=${
      inOptions(problems)
    }><${JobOptions} start=${false} ownKey=${!one} ...${fields} /><//>
    `
  }
    ${error && html`<${Problem} error=${error} />`}
    ${
    schedule && schedule.UserID !== me.userId && html`
      <p
        class="hint">It is <${Text}>${schedule
          .UserID}<//>'s. Who changes more than its name owns it, and it runs with their rights.</p>
    `
  }
    <div class="form-end"><button class="button primary">${
    schedule ? "Save" : "Create"
  }</button><a class="button" href=${link("schedules")}>Back</a></div>
  </form>`;
}

/** A function that the reader cannot run, or that is gone, as the schedule has it. */
function Kept({ job }) {
  return html`<p>It runs the function <code>${job.Function}</code>, which is gone or not yours to run. It stays as it
      is.</p>
    <pre class="code" tabindex="0" aria-label="Values">${jsonText(job.Values ?? {})}</pre>`;
}

/** A schedule that the host's code has, which people can only pause. */
function FromCode({ schedule, one }) {
  const facts = [
    ["When", html`<${Cron} line=${schedule.Cron} /> ${schedule.Timezone}`],
    ["Function", one
      ? html`<a href=${link("functions", one.Name)}><${Text}>${one.Title}<//></a>`
      : html`<code>${schedule.Job.Function}</code>`],
    ["User", html`<${Text}>${schedule.UserID}<//>`],
    ["Last run", html`<${Last} schedule=${schedule} />`],
  ];
  return html`<section class="panel"><h2>From the code</h2>
    <p class="hint">The application makes this schedule when it starts. It can be paused here; anything else is changed
      in the code.</p>
    <dl class="facts">${
    facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)
  }</dl>
    ${
    Object.keys(schedule.Job.Values ?? {}).length > 0 &&
    html`<pre class="code" tabindex="0" aria-label="Values">${jsonText(schedule.Job.Values)}</pre>`
  }</section>`;
}

/** The function called `name`, null where there is none for the reader. */
async function functionCalled(name, signal) {
  try {
    return name ? (await get(`functions/${encodeURIComponent(name)}`, {}, signal)).function : null;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

async function load(id, signal) {
  const { schedule } = await get(`schedules/${encodeURIComponent(id)}`, {}, signal);
  return { schedule, one: await functionCalled(schedule.Job.Function, signal) };
}

function One({ id }) {
  const result = useData((signal) => load(id, signal), [id]);
  useTitle(result.data?.schedule.Name ?? "Schedule");
  const gone = async (schedule) => {
    if (await attempt(() => request("DELETE", `schedules/${schedule.ScheduleID}`))) go(link("schedules"));
  };
  return html`
    <p class="crumb"><a href=${link("schedules")}>Schedules</a></p>
    <${Loaded} result=${result} what="Loading the schedule">${({ schedule, one }) =>
      html`
        <header class="view-head">
          <div class="title">
            <h1>
              <${Text}>${schedule.Name}<//></h1><${Badge} status=${schedule.Enabled
                ? "Succeeded"
                : ""}>${schedule.Enabled
                ? "On"
                : "Off"}<//></div>
          <div class="actions"><${Enabled} schedule=${schedule} reload=${result
            .reload} />${!schedule.FromCode && html`
              <${Sure} icon="trash" label="Delete" question="Delete the schedule?" onSure=${() => gone(schedule)} />
            `}</div></header>
        <div class="job-top"><${NextRuns} schedule=${schedule} />
          ${schedule.FromCode && html`<${FromCode} schedule=${schedule} one=${one} />`}</div>
        ${!schedule.FromCode && html`
          <${Form} key=${schedule.UpdatedAt} schedule=${schedule} one=${one}
            isKept=${Boolean(schedule.Job.Function) && !one} saved=${() => {
            toast("Saved.");
            result.reload();
          }} />
        `}
      `}<//>
  `;
}

function valuesIn(text) {
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    return {}; // somebody wrote the address by hand
  }
}

/** `?function=<name>&values=<JSON>`: of a function of the host's. */
function New({ params }) {
  useTitle("New schedule");
  const result = useData(async (signal) => {
    const { function: name } = params;
    return { one: name ? (await get(`functions/${encodeURIComponent(name)}`, {}, signal)).function : null };
  }, [params.function]);
  return html`
    <p class="crumb"><a href=${link("schedules")}>Schedules</a></p>
    <header class="view-head">
      <h1>New schedule</h1>
    </header>
    <${Loaded} result=${result}>${({ one }) =>
    html`<${Form} one=${one} values=${valuesIn(params.values)} saved=${(schedule) =>
      go(link("schedules", schedule.ScheduleID))} />`}<//>
  `;
}

export default function Schedules({ route }) {
  if (route.id === "new") return html`<${New} params=${route.params} />`;
  return route.id ? html`<${One} id=${route.id} />` : html`<${List} route=${route} />`;
}
