// The values of parameters, to be entered: of a template, of a function, of a schedule's job.
import { html, useId, useState } from "../core/html.js";
import { timeZone } from "../core/format.js";
import { canBeNone, exampleOf, inList, initialValues, toValues, valueFaults } from "../core/parameters.js";
import { sentence } from "../core/submission.js";
import { Button, Field } from "./parts.js";

const KINDS = {
  int: { inputmode: "numeric" },
  number: { inputmode: "decimal" },
  decimal: { inputmode: "decimal" },
  date: { type: "date" },
  datetime: { type: "datetime-local", step: "any" },
  time: { type: "time", step: "any" },
  secret: { type: "password", autocomplete: "off" },
};
const YES_NO = [["true", "yes"], ["false", "no"]];

function Choice({ ids, value, input, options, empty }) {
  return html`<select ...${ids} value=${value} onChange=${input}>
    ${empty && html`<option value="">${empty}</option>`}
    ${options.map(([option, words]) => html`<option value=${option} key=${option}>${words}</option>`)}</select>`;
}

/** The element for one value; `ids` are its attributes for labels and faults. */
function Entry({ one, value, onInput, ids }) {
  const input = (event) => onInput(event.target.value);
  if (one.type === "choice" || one.type === "bool") {
    const options = one.type === "bool" ? YES_NO : (one.choices ?? []).map((each) => [String(each), String(each)]);
    const empty = one.required === false ? "not given" : "choose…";
    return html`<${Choice} ids=${ids} value=${value} input=${input} options=${options} empty=${empty} />`;
  }
  if (one.type === "object" || one.type === "json") {
    const example = one.type === "json" ? "[]" : JSON.stringify(exampleOf(one.schema), null, 2);
    return html`<textarea ...${ids} class="mono" rows="4" value=${value} onInput=${input} placeholder=${example}
      spellcheck=${false}></textarea>`;
  }
  return html`<input ...${ids} ...${KINDS[one.type]} value=${value} onInput=${input} spellcheck=${false} />`;
}

const CHOSEN = ["bool", "choice", "list"]; // whose entries show by themselves that they may stay as they are

function hintOf(one) {
  const isOptional = one.required === false && (one.default ?? "") === "" && !CHOSEN.includes(one.type);
  const zone = (one.items ?? one).type === "datetime" ? `In your time zone, ${timeZone}.` : "";
  return [one.description, zone, isOptional && "May be left empty."].filter(Boolean).join(" ");
}

function Tick({ one, value, onInput, problem }) {
  const id = useId();
  const hint = hintOf(one);
  const described = [hint && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(" ") || undefined;
  return html`<div class="field"><label class="check"><input type="checkbox" checked=${value === "true"}
      aria-describedby=${described} onChange=${(event) => onInput(String(event.target.checked))} />${one.name}</label>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${problem && html`<p class="fault" id=${`${id}-problem`}>${problem}</p>`}</div>`;
}

/** An entry of a list, which has no label of its own to be seen. */
function Item({ one, at, value, onInput, remove, problem }) {
  const id = useId();
  const ids = {
    name: `${one.name}.${at}`,
    "aria-label": `${one.name} ${at + 1}`,
    "aria-invalid": problem ? "true" : undefined,
    "aria-describedby": problem ? `${id}-problem` : undefined,
  };
  return html`<li><div class="item"><${Entry} one=${inList(one.items)} value=${value} onInput=${onInput} ids=${ids} />
      <${Button} icon="trash" kind="bare" label=${`Remove ${one.name} ${at + 1}`} onClick=${remove} /></div>
    ${problem && html`<p class="fault" id=${`${id}-problem`}>${problem}</p>`}</li>`;
}

function List({ one, value, onInput, problems }) {
  const id = useId();
  const hint = hintOf(one);
  const change = (at) => (news) => onInput(value.map((item, index) => (index === at ? news : item)));
  const add = (event) => {
    const list = event.currentTarget.closest("fieldset");
    onInput([...value, ""]);
    setTimeout(() => [...list.querySelectorAll("li :is(input, select, textarea)")].at(-1)?.focus());
  };
  const remove = (at) => (event) => {
    const list = event.currentTarget.closest("fieldset");
    onInput(value.filter((_, index) => index !== at));
    setTimeout(() => list.querySelector(":scope > button")?.focus());
  };
  return html`<fieldset class="field list" aria-describedby=${hint ? `${id}-hint` : undefined}>
    <legend>${one.name}</legend>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    <ol>${
    value.map((item, at) =>
      html`<${Item} key=${at} one=${one} at=${at} value=${item} onInput=${change(at)} remove=${remove(at)}
        problem=${problems[`${one.name}.${at}`]} />`
    )
  }</ol>
    <${Button} icon="new" label=${`Add to ${one.name}`} aria-invalid=${problems[one.name] ? "true" : undefined}
      onClick=${add}>Add<//>
    ${problems[one.name] && html`<p class="fault" role="alert">${problems[one.name]}</p>`}</fieldset>`;
}

function Single({ one, value, onInput, problem }) {
  return html`<${Field} label=${one.name} hint=${hintOf(one)} problem=${problem}>${(ids) =>
    html`<${Entry} one=${one} value=${value} onInput=${onInput} ids=${{ ...ids, name: one.name }} />`}<//>`;
}

/** What is entered for one parameter. */
function ParameterInput({ one, value, onInput, problems }) {
  const isNone = value === null;
  const given = { one, value, onInput, problems, problem: problems[one.name] };
  const isTick = one.type === "bool" && !one.nullable;
  const Made = isTick ? Tick : one.type === "list" ? List : Single;
  if (!canBeNone(one)) return html`<${Made} ...${given} />`;
  return html`<div class="may-be-none">${
    isNone ? html`<div class="field"><span class="label">${one.name}</span></div>` : html`<${Made} ...${given} />`
  }<label class="check"><input type="checkbox" checked=${isNone} onChange=${(event) =>
    onInput(event.target.checked ? null : initialValues([one])[one.name])} /><span>None<span
      class="visually-hidden"> for ${one.name}</span></span></label></div>`;
}

/** The server's faults by parameter, or by item of a list; of the parts of an object as one. */
function refusals(parameters, error) {
  const found = {};
  for (const { field, message } of error?.details ?? []) {
    const [, name, rest] = field.match(/^values\.([^.]*)\.?(.*)$/) ?? [];
    const one = parameters.find((each) => each.name === name);
    if (!one) continue;
    const at = one.type === "list" ? rest.match(/^\d+/)?.[0] : undefined;
    const key = at === undefined ? name : `${name}.${at}`;
    const inside = at === undefined ? rest : rest.slice(at.length + 1);
    const told = inside ? `${inside}: ${sentence(message)}` : sentence(message);
    found[key] = found[key] ? `${found[key]} ${told}` : told;
  }
  return found;
}

/** Of a form's inputs those in which something stands that the browser cannot read, such as half a date. */
const unread = (form) => [...(form?.querySelectorAll(":invalid:not(form, fieldset)") ?? [])].map((one) => one.name);

/** A form of values. `given` are entries to begin with; `error` is what the server said last. */
export function useValues(parameters, given, error) {
  const [entries, setEntries] = useState(() => ({ ...initialValues(parameters), ...given }));
  const [touched, setTouched] = useState({});
  const [broken, setBroken] = useState([]);
  const faults = {
    ...valueFaults(parameters, entries),
    ...Object.fromEntries(broken.map((name) => [name, "Finish this, or empty it."])),
  };
  const isTouched = (key) => touched.all || touched[key.split(".")[0]];
  const shown = Object.fromEntries(Object.entries(faults).filter(([key]) => isTouched(key)));
  const change = (name) => (value) => {
    setEntries((old) => ({ ...old, [name]: value }));
    setTouched((old) => ({ ...old, [name]: true }));
    setBroken((old) => old.filter((key) => key.split(".")[0] !== name));
  };
  /** Whether it may be sent; what is wrong is shown from now on. `form` is the element that it is in. */
  const check = (form) => {
    const names = unread(form).filter((name) => parameters.some((one) => one.name === name.split(".")[0]));
    setBroken(names);
    setTouched({ all: true });
    return !names.length && !Object.keys(valueFaults(parameters, entries)).length;
  };
  // What the server said holds of what it was sent.
  const refused = Object.entries(refusals(parameters, error)).filter(([key]) => !touched[key.split(".")[0]]);
  const problems = { ...Object.fromEntries(refused), ...shown };
  return { parameters, entries, problems, change, check, toJSON: () => toValues(parameters, entries) };
}

export const focusFault = () => setTimeout(() => document.querySelector('[aria-invalid="true"]')?.focus());

/** The inputs of a form of values. */
export function Values({ values: { parameters, entries, problems, change } }) {
  if (!parameters.length) return html`<p>It has no parameters.</p>`;
  return parameters.map((one) =>
    html`<${ParameterInput} key=${one.name} one=${one} value=${entries[one.name]} onInput=${change(one.name)}
      problems=${problems} />`
  );
}
