// The editor of a template's parameters.
import { html } from "../core/html.js";
import { TYPES, blankParameter } from "../core/templates.js";
import { Button, Field } from "./parts.js";

function Cell({ label, name, one, change, problem, ...rest }) {
  return html`<${Field} label=${label} problem=${problem}>${(ids) =>
    html`<input ...${ids} ...${rest} value=${one[name]} onInput=${(event) =>
      change({ [name]: event.target.value })} />`}<//>`;
}

function Parameter({ one, change, remove, problem }) {
  return html`
    <li class="parameter">
      <${Cell} label="Parameter" name="name" one=${one} change=${change} problem=${problem}
        spellcheck=${false} />
      <${Field} label="Type">${(ids) =>
        html`<select ...${ids} value=${one.type} onChange=${(event) => change({ type: event.target.value })}>
      ${
          Object.entries(TYPES).map(([type, words]) => html`<option value=${type} key=${type}>${words}</option>`)
        }</select>`}<//>
        <${Cell} label="Description" name="description" one=${one} change=${change} />
        ${one.type === "choice" &&
          html`<${Cell} label="Choices" name="choices" one=${one} change=${change} placeholder="red, green" />`}
        ${one.type === "string" &&
          html`<${Cell} label="Pattern" name="pattern" one=${one} change=${change} placeholder="[a-z]+" />`}
        ${one.type === "int" && html`
          <${Cell} label="From" name="minimum" one=${one} change=${change} inputmode="numeric" />
          <${Cell} label="To" name="maximum" one=${one} change=${change} inputmode="numeric" />
        `}
        ${one.type !== "secret" && html`<${Cell} label="Default" name="default" one=${one} change=${change} />`}
        <label class="check"><input type="checkbox" checked=${one.required} onChange=${(event) =>
          change({ required: event.target.checked })} /> Required</label>
        ${one.type !== "choice" && html`
          <label class="check"
            title="Otherwise such a value is refused, since a command could take it for an option">
            <input type="checkbox" checked=${Boolean(
              one.allowLeadingDash,
            )}
                onChange=${(event) => change({ allowLeadingDash: event.target.checked })} /> ${one.type === "int"
                  ? "May be negative"
                  : "May start with a dash"}</label>
        `}
        <${Button} icon="trash" kind="bare" label=${`Remove ${one.name || "this parameter"}`} onClick=${remove} />
      </li>
  `;
}

export function Parameters({ parameters, set, problems }) {
  const change = (at) => (news) => set(parameters.map((one, index) => (index === at ? { ...one, ...news } : one)));
  return html`
    <fieldset class="field">
      <legend>Parameters</legend>
      <ul class="charts">${parameters.map((one, at) =>
        html`<${Parameter} key=${at} one=${one} problem=${problems[`parameters.${at}.name`]} change=${
          change(at)
        } remove=${() => set(parameters.filter((_, index) => index !== at))} />`
      )}</ul>
      <p>
        <${Button} icon="new" onClick=${() => set([...parameters, blankParameter()])}>Add a parameter<//></p></fieldset>
  `;
}
