// What can be done with a job from several views: cancel, run again, delete, copy as curl.
import { apiUrl, get, post, request } from "./api.js";
import { go, link } from "./router.js";
import { copy, toast } from "../parts/parts.js";

export const hasEnded = (job) => !["Running", "Queued", "Pending"].includes(job.Status);

async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    toast(error.message, "bad");
    return null;
  }
}

export const cancel = (job) => attempt(async () => {
  await post(`jobs/${job.JobID}/cancel`);
  toast(`Cancelling ${job.JobName}.`);
});

/** Submit the same command anew and show it. */
export const runAgain = (job) => attempt(async () => {
  const { jobId } = await post(`jobs/${job.JobID}/rerun`);
  go(link("job", jobId));
});

export const remove = (job) => attempt(async () => {
  await request("DELETE", "jobs/results", { query: { jobId: job.JobID } });
  toast(`The result of ${job.JobName} was deleted.`);
  return true;
});

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The body that would submit the job again, to its function if it has one. */
export function bodyOf(job) {
  const what = job.Function
    ? { values: job.FunctionValues }
    : { command: job.Command, interpreter: job.Interpreter, concurrencyKey: job.ConcurrencyKey };
  const body = {
    jobName: job.JobName, ...what, executionMode: job.ExecutionMode, description: job.Description,
    timeoutSeconds: job.TimeoutSeconds, labels: job.Labels?.length ? job.Labels : undefined, priority: job.Priority,
    retry: job.Retry, notify: job.Notify,
  };
  return Object.fromEntries(
    Object.entries(body).filter(([, value]) => value !== null && value !== undefined && value !== ""),
  );
}

export function curlOf(body, path = "jobs/submit") {
  return [
    `curl -X POST ${quoted(apiUrl(path).href)} \\`,
    '  -H "Authorization: Bearer $JOBS_API_KEY" \\',
    "  -H 'Content-Type: application/json' \\",
    `  -d ${quoted(JSON.stringify(body))}`,
  ].join("\n");
}

export const copyCurl = (job) => attempt(async () => {
  const whole = job.Command === undefined ? (await get(`jobs/${job.JobID}`)).job : job;
  const path = whole.Function ? `functions/${whole.Function}/run` : undefined;
  await copy(curlOf(bodyOf(whole), path), "curl command");
});
