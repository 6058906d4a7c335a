// What the address says about which jobs to show, as the API's conditions and as words. Pure.
// `from` and `to` are days of the user's calendar, both included; `within` is hours until now.
export const ENDED = ["Succeeded", "Failed", "TimedOut", "Cancelled", "Interrupted", "Rejected"];
export const STATES = ["Running", "Queued", "Pending", ...ENDED];
export const MODES = ["MainLoop", "Runspace", "BackgroundJob"];
export const WITHIN = { 1: "The last hour", 24: "The last 24 hours", 168: "The last 7 days", 720: "The last 30 days" };
const NAMES = ["state", "mode", "q", "from", "to", "within", "user"];
const HOUR = 3600000;

export const isFiltered = (params) => NAMES.some((name) => params[name]);

/** Midnight at the start of a day, `later` days after it, as an ISO moment; undefined for what is no day. */
function midnight(day, later) {
  const [year, month, date] = /^\d{4}-\d\d-\d\d$/.test(day ?? "") ? day.split("-").map(Number) : [NaN];
  const when = new Date(year, month - 1, date + later);
  return Number.isNaN(when.getTime()) ? undefined : when.toISOString();
}

/** `{from, to}` of the moment at which a job ended: from the first, before the second. */
export function momentsOf({ from, to, within }, now = Date.now()) {
  if (WITHIN[within]) return { from: new Date(now - within * HOUR).toISOString(), to: undefined };
  return { from: midnight(from, 0), to: midnight(to, 1) };
}

const ended = (state) => (state ? state.split(",").filter((one) => ENDED.includes(one)) : []);

/** The query of `GET /results`, or null when no job that has ended fits. */
export function resultQuery(params) {
  const { state, mode, q, user, scope } = params;
  const status = ended(state);
  if (state && !status.length) return null;
  return { status: status.join(","), mode, q, user, scope: user ? "all" : scope, ...momentsOf(params) };
}

/** The `filter` of `POST /results/delete`; with no condition, all that have ended until now. */
export function deletionFilter(params) {
  const { state, mode, q } = params;
  const { from, to } = momentsOf(params);
  const filter = {
    status: ended(state),
    mode: mode ? [mode] : [],
    q: q || undefined,
    from,
    to: to ?? new Date().toISOString(),
  };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined && value.length));
}

/** Whether the list shows `job`; what only the server can search is left to it. */
export function fits(job, params) {
  const { state, mode, q, user } = params;
  const { from, to } = momentsOf(params);
  if (state && !state.split(",").includes(job.Status)) return false;
  if ((mode && job.ExecutionMode !== mode) || (user && job.UserID !== user)) return false;
  const ended = job.DateCompleted ? new Date(job.DateCompleted) : new Date();
  if ((from && ended < new Date(from)) || (to && ended >= new Date(to))) return false;
  return !q || `${job.JobName}\n${job.UserID}\n${job.Command ?? ""}`.toLowerCase().includes(q.toLowerCase());
}

/** The conditions in words, for somebody who is about to delete what fits. */
export function wordsOf({ state, mode, q, from, to, within }) {
  const words = [state && `state ${state}`, mode && `mode ${mode}`, q && `found by “${q}”`];
  if (WITHIN[within]) words.push(`ended in ${WITHIN[within].toLowerCase()}`);
  else words.push(from && `ended on ${from} or later`, to && `ended on ${to} or earlier`);
  return words.filter(Boolean).join(", ");
}
