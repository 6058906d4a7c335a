// The filters of the job list. What is chosen goes into the address, so that a view can be shared.
import { html, useEffect, useState } from "../core/html.js";
import { MODES, STATES, WITHIN } from "../core/job-filters.js";
import { useSettled } from "../core/hooks.js";
import { Icon } from "./icons.js";
import { STATUS_WORDS } from "./parts.js";

/** A text that is passed on when nobody has typed for a moment. */
function useTyped(value, pass) {
  const [text, setText] = useState(value);
  const settled = useSettled(text);
  useEffect(() => { if (settled !== value) pass(settled); }, [settled]);
  useEffect(() => setText(value), [value]);
  return [text, setText];
}

function Pick({ name, label, all, options, params, change }) {
  return html`<select aria-label=${label} value=${params[name] ?? ""} onChange=${(event) =>
    change({ [name]: event.target.value })}>
    <option value="">${all}</option>
    ${options.map((value) => html`<option value=${value} key=${value}>${STATUS_WORDS[value] ?? value}</option>`)}
  </select>`;
}

/** When jobs ended: one of some stretches, or days that are chosen. */
function When({ params, change }) {
  const [open, setOpen] = useState(false);
  const days = open || Boolean(params.from || params.to);
  const pick = (value) => {
    setOpen(value === "days");
    change(value === "days" ? { within: "" } : { within: value, from: "", to: "" });
  };
  const day = (name, label) =>
    html`<label class="day"><span>${label}</span>
    <input type="date" value=${params[name] ?? ""} onChange=${(event) =>
      change({ [name]: event.target.value, within: "" })} /></label>`;
  return html`<select aria-label="Ended" value=${days ? "days" : params.within ?? ""} onChange=${(event) =>
    pick(event.target.value)}>
      <option value="">At any time</option>
      ${Object.entries(WITHIN).map(([hours, words]) => html`<option value=${hours} key=${hours}>${words}</option>`)}
      <option value="days">Between days…</option></select>
    ${days && html`${day("from", "From")}${day("to", "to")}`}`;
}

function Everybody({ params, change }) {
  const [user, setUser] = useTyped(params.user ?? "", (text) => change({ user: text, scope: "all" }));
  const everyone = params.scope === "all" || Boolean(params.user);
  return html`<label class="check"><input type="checkbox" checked=${everyone}
      onChange=${(event) => change({ scope: event.target.checked ? "all" : "", user: "" })} /> All users</label>
    ${
    everyone && html`
      <input aria-label="User" placeholder="of every user" class="user" value=${user} spellcheck=${false}
        onInput=${(event) => setUser(event.target.value)} />
    `
  }`;
}

export function Filters({ params, change, mayAll, search }) {
  const [text, setText] = useTyped(params.q ?? "", (q) => change({ q }));
  const pressed = (event) => event.key === "Escape" && event.target.blur();
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label class="search"><span class="visually-hidden">Search in names, commands and output</span>
      <${Icon} name="search" />
      <input type="search" ref=${search} value=${text} placeholder="Search names, commands, output" spellcheck=${false}
        onInput=${(event) => setText(event.target.value)} onKeyDown=${pressed} />
      <kbd aria-hidden="true">/</kbd></label>
    <${Pick} name="state" label="State" all="Every state" options=${STATES} params=${params} change=${change} />
    <${Pick} name="mode" label="Mode" all="Every mode" options=${MODES} params=${params} change=${change} />
    <${When} params=${params} change=${change} />
    ${mayAll && html`<${Everybody} params=${params} change=${change} />`}
  </form>`;
}
