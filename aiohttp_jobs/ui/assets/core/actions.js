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

/** The body that would submit the job again. */
export function bodyOf(job) {
  const body = {
    jobName: job.JobName, command: job.Command, executionMode: job.ExecutionMode, interpreter: job.Interpreter,
    description: job.Description, timeoutSeconds: job.TimeoutSeconds, priority: job.Priority,
    concurrencyKey: job.ConcurrencyKey, retry: job.Retry, notify: job.Notify,
  };
  return Object.fromEntries(
    Object.entries(body).filter(([, value]) => value !== null && value !== undefined && value !== ""),
  );
}

export function curlOf(body) {
  return [
    `curl -X POST ${quoted(apiUrl("jobs/submit").href)} \\`,
    '  -H "Authorization: Bearer $JOBS_API_KEY" \\',
    "  -H 'Content-Type: application/json' \\",
    `  -d ${quoted(JSON.stringify(body))}`,
  ].join("\n");
}

export const copyCurl = (job) => attempt(async () => {
  const whole = job.Command === undefined ? (await get(`jobs/${job.JobID}`)).job : job;
  await copy(curlOf(bodyOf(whole)), "curl command");
});
