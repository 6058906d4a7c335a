// What a person fills in to submit a job, checked as it is typed, and the request made of it. Pure.
import { markedPlain } from "./text.js";

export const MODES = {
  BackgroundJob: "A process of its own. The safe choice; it can be cancelled at any moment.",
  Runspace: "A warm worker from a pool. Starts fastest; good for many short jobs.",
  MainLoop: "Inside this server, with its application in scope. One at a time; keep it short.",
};
export const INTERPRETERS = {
  shell: "POSIX shell, /bin/sh, or what its #! line asks for",
  bash: "Bash, with arrays and brace expansion",
  python: "Python, with top-level await",
  powershell: "PowerShell, pwsh",
};
const EXAMPLES = {
  shell: "echo hello from $(hostname)",
  bash: "echo {1..3}",
  python: 'print("hello", 6 * 7)',
  powershell: "Get-Date",
};
export const NOTIFY_ON = {
  failure: "whenever it fails",
  "first_failure,recovery": "when it starts to fail, and when it works again",
  first_failure: "when it starts to fail",
  recovery: "when it works again",
  always: "however it ends",
};
export const RETRY_OUTCOMES = ["Failed", "TimedOut", "Interrupted"];

export const exampleOf = (interpreter) => EXAMPLES[interpreter] ?? "";

/** What a job is called when nobody said: its first words, without a first line such as
 * `#!/bin/sh`; as `name_of` of the CLI. */
export function nameOf(command, most = 40) {
  const text = command.replace(/^\uFEFF/, "");
  const shown = (text.startsWith("#!") && text.replace(/^[^\n]*\n?/, "").trim()) || text;
  const words = [...shown.split(/[\s\u001C-\u001F\u0085]+/u).filter(Boolean).join(" ")].slice(0, most);
  return words.filter((one) => one === " " || !/[\p{C}\p{Z}]/u.test(one)).join("").trim() || "job";
}

/** What of the form changes with the command: the name too, as long as nobody has given another. */
export function withCommand(form, command, most) {
  const isOwn = form.jobName !== "" && form.jobName !== nameOf(form.command, most);
  return isOwn ? { command } : { command, jobName: command.trim() === "" ? "" : nameOf(command, most) };
}

/** An empty form for somebody with these rights. */
export const blank = (me) => ({
  jobName: "", command: "", executionMode: me.modes.includes("BackgroundJob") ? "BackgroundJob" : (me.modes[0] ?? ""),
  interpreter: me.defaultInterpreter, description: "", timeout: "", priority: "", key: "", labels: "", start: "now",
  delay: "60", runAt: "", retries: "", backoff: "10", retryOn: ["Failed", "TimedOut"],
  notify: [],
});

/** The form that would submit `job` again. */
export const formOf = (job, me) => ({
  ...blank(me), jobName: job.JobName, command: job.Command ?? "", executionMode: job.ExecutionMode,
  interpreter: job.Interpreter ?? me.defaultInterpreter, description: job.Description ?? "",
  timeout: job.TimeoutSeconds ? String(job.TimeoutSeconds) : "", key: job.ConcurrencyKey ?? "",
  labels: (job.Labels ?? []).join(", "),
  priority: (job.Priority ?? 5) === 5 ? "" : String(job.Priority),
  retries: job.Retry ? String(job.Retry.count) : "", backoff: String(job.Retry?.backoffSeconds ?? 10),
  retryOn: job.Retry?.on ?? ["Failed", "TimedOut"], notify: (job.Notify ?? []).map(ruleForm),
});

export const MOST_RULES = 10;
const words = (text) => text.split(/[\s,;]+/).filter(Boolean);
const addresses = words;
const LABEL = /^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/;

/** A rule of `notify` as it is filled in. */
const ruleForm = (rule) => ({
  channel: rule.channel,
  to: rule.channel === "email" ? rule.to.join(", ") : rule.url,
  on: [rule.on ?? "always"].flat().join(","),
});
export const blankRule = (channel) => ({ channel, to: "", on: "failure" });

function toRule({ channel, to, on }) {
  return channel === "email"
    ? { channel, to: addresses(to), on: on.split(",") }
    : { channel, url: to.trim(), on: on.split(",") };
}

function ruleFault({ channel, to }) {
  if (channel === "webhook")
    return /^https?:\/\/\S+$/.test(to.trim()) ? "" : "Enter an address that starts with https://.";
  const all = addresses(to);
  return all.length && all.every((one) => /^[^@\s]+@[^@\s]+$/.test(one))
    ? ""
    : "Enter addresses such as name@example.org, separated by commas.";
}

const bytes = (text) => new TextEncoder().encode(text).length;
const within = (text, least, most) =>
  text === "" || (Number.isFinite(Number(text)) && Number(text) >= least && Number(text) <= most);
const whole = (text) => text === "" || /^\d+$/.test(text);

/** What is wrong, as `{field: sentence}`; nothing when it can be submitted. */
export function faults(form, me) {
  const { maxCommandBytes = 262144, maxNameLength = 100, maxTimeout = 86400, maxDescriptionLength = 2000 } = me.limits;
  const found = {};
  const check = (field, holds, sentence) => { if (!holds && !found[field]) found[field] = sentence; };
  check("jobName", form.jobName.trim() !== "", "Give the job a name.");
  check("jobName", form.jobName.length <= maxNameLength, `Use at most ${maxNameLength} characters.`);
  check("command", form.command.trim() !== "", "Enter a command.");
  check("command", !form.command.includes("\0"), "It must not contain a NUL character.");
  check(
    "command",
    bytes(form.command) <= maxCommandBytes,
    `It is longer than ${maxCommandBytes.toLocaleString()} bytes.`,
  );
  check(
    "description",
    form.description.length <= maxDescriptionLength,
    `Use at most ${maxDescriptionLength} characters.`,
  );
  check("timeout", within(form.timeout, 0.001, maxTimeout), `Enter seconds, up to ${maxTimeout.toLocaleString()}.`);
  check("priority", whole(form.priority) && within(form.priority, 0, me.maxPriority), `Enter 0 to ${me.maxPriority}.`);
  check("key", form.key.length <= 200, "Use at most 200 characters.");
  check(
    "labels",
    words(form.labels).length <= 16 && words(form.labels).every((one) => LABEL.test(one)),
    "Enter labels such as gpu, separated by commas.",
  );
  check("retries", whole(form.retries) && within(form.retries, 1, 20), "Enter 1 to 20, or leave it empty.");
  check(
    "backoff",
    form.retries === "" || (form.backoff !== "" && within(form.backoff, 0, 86400)),
    "Enter seconds, up to 86,400.",
  );
  check("retryOn", form.retries === "" || form.retryOn.length > 0, "Choose at least one outcome.");
  form.notify.forEach((rule, at) => check(`notify.${at}`, !ruleFault(rule), ruleFault(rule)));
  check(
    "delay",
    form.start !== "delay" || (form.delay !== "" && within(form.delay, 0, 31622400)),
    "Enter seconds, 0 or more.",
  );
  check("runAt", form.start !== "at" || !Number.isNaN(Date.parse(form.runAt)), "Choose a day and a time.");
  return found;
}

/** A warning about characters that one cannot see, or an empty text. */
export function hiddenIn(command) {
  const hidden = [...new Set(markedPlain(command).match(/\[U\+[0-9A-F]{4}\]/g) ?? [])].filter((code) =>
    !command.includes(code)
  );
  return hidden.length ? `The command holds characters that cannot be seen: ${hidden.join(" ")}` : "";
}

/** "must be …", as the API says it of a field, as a sentence. */
export const sentence = (message) => (/^[a-z]/.test(message) ? `It ${message}.` : message);

const number = (text) => (text === "" ? undefined : Number(text));

/** The body of `POST /jobs/submit`. */
export function toRequest(form) {
  const body = {
    jobName: form.jobName.trim(),
    command: form.command,
    executionMode: form.executionMode,
    interpreter: form.interpreter,
    description: form.description || undefined,
    timeoutSeconds: number(form.timeout),
    priority: number(form.priority),
    concurrencyKey: form.key || undefined,
    labels: words(form.labels).length ? words(form.labels) : undefined,
    delaySeconds: form.start === "delay" ? Number(form.delay) : undefined,
    runAt: form.start === "at" ? new Date(form.runAt).toISOString() : undefined,
    notify: form.notify.length ? form.notify.map(toRule) : undefined,
    retry: form.retries === ""
      ? undefined
      : { count: Number(form.retries), backoffSeconds: Number(form.backoff), on: form.retryOn },
  };
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

const OPTIONS = [
  "timeout", "priority", "key", "labels", "retries", "backoff", "delay", "runAt", "description", "retryOn",
];

/** Whether something is wrong among the options, which may be folded away. */
export const inOptions = (problems) =>
  Object.keys(problems).some((name) => OPTIONS.includes(name) || name.startsWith("notify"));

/** The server's faults by the form's field names. */
export function faultsFrom(error) {
  const fields = { timeoutSeconds: "timeout", concurrencyKey: "key", delaySeconds: "delay" };
  const nameOf = (field) => fields[field] ?? (field.match(/^notify\.\d+|^labels(?=\.)/)?.[0] ?? field);
  return Object.fromEntries((error.details ?? []).map(({ field, message }) => [nameOf(field), sentence(message)]));
}
