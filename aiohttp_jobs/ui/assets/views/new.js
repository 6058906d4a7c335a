// Submitting a job. `?from=<job id>` starts with that job's command.
import { html, useEffect, useState } from "../core/html.js";
import { get, post } from "../core/api.js";
import { curlOf } from "../core/actions.js";
import { useTitle } from "../core/hooks.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { blank, faults, faultsFrom, formOf, inOptions, toRequest } from "../core/submission.js";
import { JobFields, JobOptions } from "../parts/job-form.js";
import { Button, Empty, Fold, Problem, copy } from "../parts/parts.js";

export default function NewJob({ route }) {
  const { me } = useSession();
  const [form, setForm] = useState(() => blank(me));
  const [touched, setTouched] = useState({});
  const [refused, setRefused] = useState({});
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  useTitle("New job");
  const from = route.params.from;
  useEffect(() => {
    if (from) get(`jobs/${encodeURIComponent(from)}`).then(({ job }) => setForm(formOf(job, me)), setError);
  }, [from]);
  useEffect(() => { document.querySelector("main form input")?.focus(); }, []);
  const set = (news) => {
    setForm((old) => ({ ...old, ...news }));
    const names = Object.fromEntries(Object.keys(news).map((name) => [name, true]));
    setTouched((old) => ({ ...old, ...names }));
    setRefused((old) => Object.fromEntries(Object.entries(old).filter(([name]) => !names[name.split(".")[0]])));
  };
  const wrong = faults(form, me);
  const problems = {
    ...Object.fromEntries(Object.entries(wrong).filter(([name]) => touched[name.split(".")[0]] || touched.all)),
    ...refused,
  };
  const submit = async (event) => {
    event?.preventDefault();
    setTouched({ all: true });
    if (Object.keys(wrong).length || busy) {
      setTimeout(() => document.querySelector('[aria-invalid="true"]')?.focus());
      return;
    }
    setBusy(true);
    setError(null);
    try {
      const { jobId } = await post("jobs/submit", toRequest(form));
      go(link("job", jobId));
    } catch (failure) {
      setRefused(faultsFrom(failure));
      setError(failure);
      setBusy(false);
    }
  };
  const keys = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(event);
  if (!may(me, "submit") || !me.modes.length) {
    return html`
      <h1>New job</h1>
      <${Empty} title="You may not submit jobs">Your account has none of the roles that this needs.
            You can see the results of your own jobs; ask an administrator for a role such as task_manager.<//>
    `;
  }
  return html`<header class="view-head"><h1>New job</h1></header>
    <form class="form" onSubmit=${submit} onKeyDown=${keys} novalidate>
      <${JobFields} form=${form} set=${set} problems=${problems} />
      <${Fold} summary="Options: start, time limit, priority, retries, notices" needed=${inOptions(problems)}>
            <${JobOptions} form=${form} set=${set} problems=${problems} />
          <//>
          ${error && html`<${Problem} error=${error} />`}
          <div class="form-end">
            <button class="button primary" disabled=${busy}>${busy ? "Submitting…" : "Run"}</button>
            <span class="hint"><kbd>Ctrl</kbd> + <kbd>Enter</kbd></span>
            <${Button} icon="copy" kind="bare" disabled=${Object.keys(wrong).length > 0} onClick=${() =>
              copy(curlOf(toRequest(form)), "curl command")}>Copy as curl<//>
          </div>
        </form>
  `;
}
