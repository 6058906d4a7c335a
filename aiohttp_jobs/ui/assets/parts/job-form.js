// The fields of a job: used to submit one, and wherever else a job is described (schedules, templates).
import { html } from "../core/html.js";
import {
  blankRule,
  exampleOf,
  hiddenIn,
  INTERPRETERS,
  MODES,
  MOST_RULES,
  NOTIFY_ON,
  RETRY_OUTCOMES,
  withCommand,
} from "../core/submission.js";
import { timeZone } from "../core/format.js";
import { can, may, useSession } from "../core/session.js";
import { Editor } from "./editor.js";
import { Button, Field } from "./parts.js";

/** A text input for `name` of `form`. */
export function Input({ name, label, hint, form, set, problems, wide, ...rest }) {
  return html`<${Field} label=${label} hint=${hint} problem=${problems[name]} wide=${wide}>
    ${(ids) =>
    html`<input ...${ids} ...${rest} value=${form[name]} onInput=${(event) => set({ [name]: event.target.value })} />`}
  <//>`;
}

export function Choices({ legend, name, options, value, set }) {
  return html`
    <fieldset>
      <legend>${legend}</legend>
      <div class="choices">
        ${options.map(([option, sentence]) =>
          html`<label class="choice" key=${option}>
      <input type="radio" name=${name} value=${option} checked=${value === option} onChange=${() =>
            set({ [name]: option })} />
      <b>${option}</b><small>${sentence}</small></label>`
        )}
      </div>
    </fieldset>
  `;
}

/** The interpreters, the default first. */
const byDefault = ({ interpreters, defaultInterpreter }) =>
  [...interpreters].sort((one, other) => Number(other === defaultInterpreter) - Number(one === defaultInterpreter));

/** Name (where it has one of its own), interpreter, command and mode. `fillName`: the name comes
 * from the command until another is given. */
export function JobFields({ form, set, problems, name = true, fillName = name }) {
  const { me } = useSession();
  const warning = hiddenIn(form.command);
  const setCommand = (command) =>
    set(fillName ? withCommand(form, command, Math.min(40, me.limits.maxNameLength ?? 100)) : { command });
  return html`
    ${name &&
      html`<${Input} name="jobName" label="Name" form=${form} set=${set} problems=${problems} autocomplete="off" />`}
    <${Choices} legend="Interpreter" name="interpreter" value=${form.interpreter} set=${set}
      options=${byDefault(me).map((name) => [name, INTERPRETERS[name] ?? ""])} />
    <${Field} label="Command" problem=${problems.command}>
      ${(ids) =>
        html`<${Editor} ids=${ids} value=${form.command} interpreter=${form.interpreter} onInput=${setCommand} />`}
    <//>
    ${warning && html`<p class="fault" role="status">${warning}</p>`}
    ${!form.command && html`
      <p
        class="hint">For example <button type="button" class="button bare" onClick=${() =>
          setCommand(exampleOf(form.interpreter))}><code>${exampleOf(form.interpreter)}</code></button></p>
    `}
    <${Choices} legend="Mode" name="executionMode" value=${form.executionMode} set=${set}
      options=${me.modes.map((mode) => [mode, MODES[mode] ?? ""])} />`;
}

/** When to start: now, after a delay, or at a time. */
export function Start({ form, set, problems }) {
  return html`<${Field} label="Start">${(ids) =>
    html`
      <select ...${ids} value=${form.start} onChange=${(event) => set({ start: event.target.value })}>
        <option value="now">as soon as possible</option>
        <option value="delay">after a delay</option>
        <option value="at">at a time</option>
      </select>
    `}<//>
    ${
    form.start === "delay" && html`
      <${Input} name="delay" label="Delay in seconds" inputmode="decimal" form=${form} set=${set}
        problems=${problems} />
    `
  }
    ${
    form.start === "at" && html`
      <${Input} name="runAt" label="Start at" type="datetime-local" hint=${`In your time zone, ${timeZone}`}
        form=${form} set=${set}
        problems=${problems} />
    `
  }`;
}

function Outcomes({ form, set, problems }) {
  const toggle = (outcome) =>
    set({
      retryOn: form.retryOn.includes(outcome)
        ? form.retryOn.filter((one) => one !== outcome)
        : [...form.retryOn, outcome],
    });
  return html`<fieldset class="field"><legend>Try again when it</legend>
    ${
    RETRY_OUTCOMES.map((outcome) =>
      html`<label class="check" key=${outcome}><input type="checkbox" checked=${
        form.retryOn.includes(outcome)
      } onChange=${() => toggle(outcome)} />
      ${{ Failed: "failed", TimedOut: "timed out", Interrupted: "was interrupted" }[outcome]}</label>`
    )
  }
    ${problems.retryOn && html`<p class="fault">${problems.retryOn}</p>`}</fieldset>`;
}

function Rule({ rule, problem, change, remove }) {
  const mail = rule.channel === "email";
  return html`
    <li class="parameter">
      <${Field} label=${mail ? "E-mail to" : "Webhook"} problem=${problem}>${(ids) =>
        html`
          <input ...${ids} value=${rule.to} inputmode=${mail ? "email" : "url"}
            placeholder=${mail ? "name@example.org" : "https://"} spellcheck=${false} onInput=${(event) =>
              change({ to: event.target.value })} />
        `}<//>
        <${Field} label="Tell them">${(ids) =>
          html`<select ...${ids} value=${rule.on} onChange=${(event) => change({ on: event.target.value })}>
      ${
            Object.entries({ [rule.on]: rule.on.replaceAll(",", ", "), ...NOTIFY_ON }).map(([value, words]) =>
              html`<option value=${value} key=${value}>${words}</option>`
            )
          }</select>`}<//>
        <${Button} icon="trash" kind="bare" label=${`Remove this ${mail ? "e-mail" : "webhook"}`} onClick=${remove} />
      </li>
  `;
}

/** Who is told when the job has ended. */
function Notices({ form, set, problems }) {
  const rules = form.notify;
  const change = (at) => (news) =>
    set({ notify: rules.map((rule, index) => (index === at ? { ...rule, ...news } : rule)) });
  const add = (channel) => set({ notify: [...rules, blankRule(channel)] });
  const more = rules.length < MOST_RULES;
  return html`<fieldset class="field rules"><legend>Notices when it has ended</legend>
    <ul class="charts">${
    rules.map((rule, at) =>
      html`
        <${Rule} key=${at} rule=${rule} problem=${problems[`notify.${at}`]} change=${change(at)}
          remove=${() => set({ notify: rules.filter((_, index) => index !== at) })} />
      `
    )
  }</ul>
    ${
    more && html`
      <p class="actions">
        <${Button} icon="new"
          onClick=${() => add("email")}>Add e-mail<//><${Button} icon="new" onClick=${() =>
            add("webhook")}>Add webhook<//></p>
    `
  }</fieldset>`;
}

/** Everything that has a good default. `start` is not for jobs whose start something else decides, `ownKey` not for
 * those whose concurrency key does. */
export function JobOptions({ form, set, problems, start = true, ownKey = true }) {
  const { me } = useSession();
  const given = { form, set, problems };
  const seconds = me.limits.defaultTimeout ?? 3600;
  return html`
    <div class="grid">
        ${start && html`<${Start} ...${given} />`}
        <${Input} name="timeout" label="Time limit in seconds" inputmode="decimal" placeholder=${String(
          seconds,
        )} ...${given} />
        <${Input} name="priority" label="Priority" inputmode="numeric" placeholder="5"
          hint=${`0 (last) to ${me.maxPriority} (first)`} ...${given} />
        ${ownKey && html`
          <${Input} name="key" label="Concurrency key" hint=${`Your jobs with the same key never run at once${
            may(me, "share_concurrency_keys") ? "; shared:… is a key of all users" : ""
          }`} ...${given} />
        `}
        ${can(me, "labels") && html`
          <${Input} name="labels" label="Labels" placeholder="any worker"
            hint="What the worker must have, such as gpu, separated by commas" ...${given} />
        `}
        <${Input} name="retries" label="Tries after a failure" inputmode="numeric" placeholder="none" ...${given} />
        ${form.retries !== "" && html`
          <${Input} name="backoff" label="Wait before the next try, in seconds" inputmode="decimal" ...${given} />
          <${Outcomes} ...${given} />
        `}
        <${Input} name="description" label="Description" ...${given} />
      </div>
    <${Notices} ...${given} />
  `;
}
