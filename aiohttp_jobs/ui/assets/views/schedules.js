// Schedules: the list, and `#/schedules/new` or `#/schedules/<id>` to make, look at and change one.
import { html, useState } from "../core/html.js";
import { get, request } from "../core/api.js";
import { sentence } from "../core/cron.js";
import { formatShort, timeZone } from "../core/format.js";
import { useData, useSettled, useTitle } from "../core/hooks.js";
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
import { inOptions } from "../core/submission.js";
import { Text } from "../core/text.js";
import { Input, JobFields, JobOptions } from "../parts/job-form.js";
import { Icon } from "../parts/icons.js";
import { Age, Badge, Empty, Field, Fold, Loaded, Problem, Sure, toast } from "../parts/parts.js";
import { Table } from "../parts/table.js";

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
    ["Name", (one) => html`<a class="job-link" href=${link("schedules", one.ScheduleID)}><${Text}>${one.Name}<//></a>`],
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
              })} /> Everybody's</label>`}${add}</div>
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

function Form({ schedule, saved }) {
  const { me } = useSession();
  const [before] = useState(() => (schedule ? formOfSchedule(schedule, me) : emptySchedule(me)));
  const [form, setForm] = useState(before);
  const [error, setError] = useState(null);
  const [tried, setTried] = useState(false);
  const set = (news) => setForm((old) => ({ ...old, ...news }));
  const preview = usePreview(form);
  const retimed = !schedule || WHEN.some((name) => form[name] !== before[name]);
  // What the server said of an older line is shown, but does not stand in the way: it will look again.
  const wrong = { ...scheduleFaults(form, me), ...(preview.isOld ? {} : preview.faults) };
  const problems = { ...preview.faults, ...(tried ? wrong : {}), ...scheduleFaultsFrom(error) };
  const save = async (event) => {
    event.preventDefault();
    setTried(true);
    setError(null);
    if (Object.keys(wrong).length) {
      setTimeout(() => document.querySelector('[aria-invalid="true"]')?.focus());
      return;
    }
    try {
      const path = schedule ? `schedules/${schedule.ScheduleID}` : "schedules";
      const answer = await request(schedule ? "PATCH" : "POST", path, { body: toSchedule(form) });
      saved(answer.schedule);
    } catch (failure) {
      setError(failure);
    }
  };
  const given = { form, set, problems };
  return html`<form class="form" onSubmit=${save} novalidate>
    <div class="grid">
      <${Input} name="name" label="Name" autocomplete="off" ...${given} />
      <${Input} name="cron" label="Cron line" hint=${
    sentence(form.cron) || "minute hour day month weekday"
  } class="mono" spellcheck=${false} ...${given} />
      <${Input} name="timezone" label="Time zone" list="time-zones" ...${given} />
      <datalist id="time-zones">${
    (Intl.supportedValuesOf?.("timeZone") ?? []).map((zone) => html`<option value=${zone} key=${zone} />`)
  }</datalist>
    </div>
    ${retimed && html`<${Preview} preview=${preview} />`}
    <div class="grid three">
      <${Input} name="startAt" label="Not before" type="datetime-local" ...${given} />
      <${Input} name="endAt" label="Not after" type="datetime-local" ...${given} />
      <${Input} name="jitter" label="Spread over seconds" inputmode="decimal" placeholder="0"
          hint="At random, so that not all start at once" ...${given} />
      <${Choice} name="overlapPolicy" label="If the last still runs" options=${OVERLAP} ...${given} />
      <${Choice} name="misfirePolicy" label="If a run was missed" options=${MISFIRE} ...${given} />
      <${Input} name="grace" label="Missed after seconds" inputmode="decimal" placeholder="60"
          hint="How late it may still start" ...${given} />
    </div>
    <h2>The job</h2>
    <${JobFields} name=${false} ...${given} />
    <${Fold} summary="Options: time limit, priority, retries, notices" needed=${
    inOptions(problems)
  }><${JobOptions} start=${false} ...${given} /><//>
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

function One({ id }) {
  const result = useData((signal) => get(`schedules/${encodeURIComponent(id)}`, {}, signal), [id]);
  useTitle(result.data?.schedule.Name ?? "Schedule");
  const gone = async (schedule) => {
    if (await attempt(() => request("DELETE", `schedules/${schedule.ScheduleID}`))) go(link("schedules"));
  };
  return html`
    <p class="crumb"><a href=${link("schedules")}>Schedules</a></p>
    <${Loaded} result=${result} what="Loading the schedule">${({ schedule }) =>
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
            .reload} /><${Sure} icon="trash" label="Delete" question="Delete the schedule?" onSure=${() =>
            gone(schedule)} /></div></header>
        <div class="job-top"><${NextRuns} schedule=${schedule} /></div>
        <${Form} key=${schedule.UpdatedAt} schedule=${schedule} saved=${() => {
          toast("Saved.");
          result.reload();
        }} />
      `}<//>
  `;
}

function New() {
  useTitle("New schedule");
  return html`
    <p class="crumb"><a href=${link("schedules")}>Schedules</a></p>
    <header class="view-head">
      <h1>New schedule</h1>
    </header>
    <${Form} saved=${(schedule) => go(link("schedules", schedule.ScheduleID))} />
  `;
}

export default function Schedules({ route }) {
  if (route.id === "new") return html`<${New} />`;
  return route.id ? html`<${One} id=${route.id} />` : html`<${List} route=${route} />`;
}
