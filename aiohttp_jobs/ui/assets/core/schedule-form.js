// A schedule as a form, and the request made of it. Pure.
import { timeZone } from "./format.js";
import { blank, faults, faultsFrom, formOf, toRequest } from "./submission.js";

export const OVERLAP = { skip: "skip this run", queue: "run it afterwards", replace: "stop the old run" };
export const MISFIRE = { skip: "leave it out", run_once: "run once to catch up" };
const WITHOUT = {
  description: "",
  timeoutSeconds: null,
  priority: null,
  concurrencyKey: null,
  labels: [],
  retry: null,
  notify: [],
};

export const emptySchedule = (me) => ({
  ...blank(me),
  name: "",
  cron: "0 6 * * *",
  timezone: timeZone,
  overlapPolicy: "skip",
  misfirePolicy: "skip",
  jitter: "",
  grace: "",
  startAt: "",
  endAt: "",
});

/** A moment as an input of type datetime-local shows it: on the user's own clock. */
function toLocal(iso) {
  if (!iso) return "";
  const when = new Date(iso);
  return new Date(when.getTime() - when.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

export const toMoment = (local) => (local && !Number.isNaN(Date.parse(local)) ? new Date(local).toISOString() : null);

/** `ofJob` is the part of the form that says what is run, and how. */
export const formOfSchedule = (schedule, me, ofJob = formOf(schedule.Job, me)) => ({
  ...emptySchedule(me),
  ...ofJob,
  name: schedule.Name,
  cron: schedule.Cron,
  timezone: schedule.Timezone,
  overlapPolicy: schedule.OverlapPolicy,
  misfirePolicy: schedule.MisfirePolicy,
  startAt: toLocal(schedule.StartAt),
  endAt: toLocal(schedule.EndAt),
  jobName: ofJob.jobName === schedule.Name ? "" : ofJob.jobName, // else a new name would not be its jobs'
  jitter: schedule.JitterSeconds ? String(schedule.JitterSeconds) : "",
  grace: schedule.MisfireGraceSeconds === 60 ? "" : String(schedule.MisfireGraceSeconds),
});

const commandOf = (form) => ({
  ...WITHOUT, ...toRequest({ ...form, start: "now", jobName: form.jobName.trim() || form.name }),
});

/**
 * The body of `POST /schedules` or, with all that was taken away said so, of `PATCH`. Without a job it stays.
 * @param {any} form
 * @param {object | null} [job]
 */
export function toSchedule(form, job = commandOf(form)) {
  const { name, cron, timezone, overlapPolicy, misfirePolicy } = form;
  return {
    name,
    cron,
    timezone,
    overlapPolicy,
    misfirePolicy,
    jitterSeconds: Number(form.jitter || 0),
    misfireGraceSeconds: Number(form.grace || 60),
    startAt: toMoment(form.startAt),
    endAt: toMoment(form.endAt),
    ...(job && { job }),
  };
}

const seconds = (text, least, most) => text === "" || (Number(text) >= least && Number(text) <= most);

/** What is wrong besides the cron line and the time zone, which the server reads. */
export function scheduleFaults(form, me) {
  const found = faults({ ...form, start: "now", jobName: form.jobName || form.name || "x" }, me);
  if (!form.name.trim()) found.name = "Give the schedule a name.";
  if (!seconds(form.jitter, 0, 3600)) found.jitter = "Enter seconds, up to 3,600.";
  if (!seconds(form.grace, 1, 86400)) found.grace = "Enter seconds, 1 to 86,400.";
  if (form.startAt && form.endAt && form.endAt <= form.startAt) found.endAt = "It must be later than the start.";
  return found;
}

/** The server's faults by the form's field names. */
export function scheduleFaultsFrom(error) {
  const fields = { jitterSeconds: "jitter", misfireGraceSeconds: "grace" };
  const details = (error?.details ?? []).map(({ field, message }) => ({
    field: fields[field] ?? field.replace(/^job\./, ""),
    message,
  }));
  return faultsFrom({ details });
}
