// The host's functions as forms: their parameters as forms know them, and a run's request. Pure.
import { blank, formOf, toRequest } from "./submission.js";

const OPTIONS = ["delaySeconds", "runAt", "priority", "description", "timeoutSeconds", "labels", "retry", "notify"];

/** A function's values are data, so that they may begin with a dash; and its patterns are looked for anywhere. */
const lenient = (one) => ({
  ...one,
  anywhere: true,
  allowLeadingDash: true,
  ...(one.items && { items: lenient(one.items) }),
});

/** The parameters of a function as `parameters.js` knows them. */
export const parametersOf = (one) => one.Parameters.map(lenient);

/** The part of a job's form that says how the function is run; as `job` of before was, if there is one. */
export function optionsOf(one, me, job) {
  const form = job ? formOf({ JobName: one.Title, ...job }, me) : { ...blank(me), jobName: one.Title };
  const executionMode = one.Modes.includes(job?.ExecutionMode) ? job.ExecutionMode : one.Modes[0];
  const own = (text, name) => (text === String(one[name]) ? "" : text);
  return {
    ...form, executionMode, command: "x", key: "", timeout: own(form.timeout, "TimeoutSeconds"),
    priority: own(form.priority, "Priority"),
  };
}

/** The body of a run, or of a schedule's job: what is as the function says is left out. */
export function toRun(one, form, values) {
  const request = toRequest(form);
  const given = Object.fromEntries(OPTIONS.filter((name) => name in request).map((name) => [name, request[name]]));
  if (form.executionMode !== one.Modes[0]) given.executionMode = form.executionMode;
  if (request.jobName && request.jobName !== one.Title) given.jobName = request.jobName;
  return { values, ...given };
}

const WITHOUT = { priority: null, description: "", timeoutSeconds: null, labels: [], retry: null, notify: [] };

/** The `job` of a schedule that runs `one`. What `before` had and is there no more is said to be gone. */
export function toScheduledRun(one, form, values, before = {}) {
  const run = toRun(one, form, values);
  const had = (name) => before[name[0].toUpperCase() + name.slice(1)] !== undefined;
  const gone = { ...WITHOUT, executionMode: one.Modes[0], jobName: one.Title };
  const taken = Object.entries(gone).filter(([name]) => had(name) && !(name in run));
  return { function: one.Name, ...Object.fromEntries(taken), ...run };
}
