// Templates as forms: what a run asks for besides its values, and the editor's form as a request. Pure.
import { blank, formOf, toRequest } from "./submission.js";

export const TYPES = { string: "text", int: "whole number", choice: "one of", secret: "secret" };
const UNSET = (value) => value === undefined || value === null || value === "";

/** What a run asks for besides its values: `form` is the part of a job's form that says when and how urgently. */
export function toRun(form) {
  const { delaySeconds, runAt, priority } = toRequest(form);
  return Object.fromEntries(
    Object.entries({ delaySeconds, runAt, priority, jobName: form.jobName.trim() || undefined }).filter(([, value]) =>
      value !== undefined
    ),
  );
}

export const emptyTemplate = (me) => ({ ...blank(me), parameters: [], runRoles: "" });

export const formOfTemplate = (template, me) => ({
  ...formOf({ ...template, JobName: template.Name }, me), parameters: template.Parameters.map(parameterForm),
  runRoles: (template.RunRoles ?? []).join(", "),
});

export const blankParameter = () => ({
  name: "",
  type: "string",
  description: "",
  required: true,
  default: "",
  pattern: "",
  minimum: "",
  maximum: "",
  choices: "",
  allowLeadingDash: false,
});

const parameterForm = (one) => ({
  ...one,
  description: one.description ?? "",
  required: one.required !== false,
  default: UNSET(one.default) ? "" : String(one.default),
  pattern: one.pattern ?? "",
  minimum: UNSET(one.minimum) ? "" : String(one.minimum),
  maximum: UNSET(one.maximum) ? "" : String(one.maximum),
  choices: (one.choices ?? []).join(", "),
});

function toParameter(form) {
  const { name, type, description, required, pattern } = form;
  const parameter = { name: name.trim(), type, description: description || undefined, required };
  if (form.default !== "" && type !== "secret")
    parameter.default = type === "int" ? Number(form.default) : form.default;
  if (type === "string" && pattern) parameter.pattern = pattern;
  if (type === "int" && form.minimum !== "") parameter.minimum = Number(form.minimum);
  if (type === "int" && form.maximum !== "") parameter.maximum = Number(form.maximum);
  if (type === "choice") parameter.choices = form.choices.split(",").map((one) => one.trim()).filter(Boolean);
  if (form.allowLeadingDash && type !== "choice") parameter.allowLeadingDash = true;
  return parameter;
}

/** The body of `POST /templates`. */
export function toTemplate(form) {
  const { jobName, ...job } = toRequest({ ...form, start: "now" });
  const runRoles = form.runRoles.split(",").map((role) => role.trim()).filter(Boolean);
  return { ...job, name: jobName, parameters: form.parameters.map(toParameter), runRoles };
}
