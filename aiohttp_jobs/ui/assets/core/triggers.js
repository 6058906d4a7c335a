// Triggers as forms: where each parameter's value comes from, and what the payload must have. Pure.

export const PROOFS = {
  github: "GitHub: X-Hub-Signature-256",
  gitlab: "GitLab: its signature or its token",
  standard: "Standard Webhooks: webhook-signature",
  bearer: "the secret itself: Authorization: Bearer",
};

export const SOURCES = { path: "the payload, at", value: "a fixed value", none: "its default" };

/** Where a parameter's value can come from: a trigger keeps no secrets, and what is required needs something. */
export const sourcesOf = (parameter) =>
  Object.keys(SOURCES).filter((source) =>
    (source !== "value" || parameter.type !== "secret") &&
    (source !== "none" || parameter.required === false || (parameter.default ?? null) !== null)
  );

const firstOf = (sources) => (sources.includes("none") ? "none" : "path");

export const blankTrigger = (parameters) => ({
  name: "",
  proof: "github",
  given: Object.fromEntries(parameters.map((one) => [one.name, { source: firstOf(sourcesOf(one)), text: "" }])),
  only: [],
});

export const blankCondition = () => ({ path: "", equals: "" });

const inputOf = (name, source) => `${source}s.${name}`;

/** What is wrong with it, by the names that the server has for the fields. */
export function triggerFaults(form) {
  /** @type {Record<string, string>} */
  const found = {};
  if (!form.name.trim()) found.name = "Give the trigger a name, such as what sends to it.";
  for (const [name, { source, text }] of Object.entries(form.given)) {
    if (source === "path" && !text.trim())
      found[inputOf(name, source)] = "Say where it is, such as commits[0].author.name.";
  }
  form.only.forEach(({ path }, at) => {
    if (!path.trim()) found[`only.${at}.path`] = "Say where to look, or remove it.";
  });
  return found;
}

/** A number, true, false or null as in JSON; anything else is a text. */
function scalar(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? text : value;
  } catch {
    return text;
  }
}

/** The body of `POST /templates/{id}/triggers`. */
export function toTrigger(form, parameters) {
  const isInt = (name) => parameters.some((one) => one.name === name && one.type === "int");
  const toValue = (name, text) => (isInt(name) && /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : text);
  const from = (wanted, made) =>
    Object.fromEntries(
      Object.entries(form.given).filter(([, { source }]) => source === wanted)
        .map(([name, { text }]) => [name, made(name, text)]),
    );
  return {
    name: form.name.trim(),
    proof: form.proof,
    paths: from("path", (_, text) => text.trim()),
    values: from("value", toValue),
    only: form.only.map(({ path, equals }) => ({ path: path.trim(), equals: scalar(equals) })),
  };
}

/** A few words on what it takes from a payload, and on which it runs. */
export function aboutTrigger(trigger) {
  const given = [
    ...Object.entries(trigger.Paths).map(([name, path]) => `${name} from ${path}`),
    ...Object.entries(trigger.Values).map(([name, value]) => `${name} is ${value}`),
  ];
  const only = trigger.Only.map(({ path, equals }) => `${path} is ${JSON.stringify(equals)}`);
  return [given.join(", "), only.length && `only where ${only.join(" and ")}`].filter(Boolean).join("; ");
}
