// What is done with many jobs at once: with those that are selected, or with all results that match the filters.
import { html, useEffect, useRef, useState } from "../core/html.js";
import { hasEnded } from "../core/actions.js";
import { post } from "../core/api.js";
import { count } from "../core/format.js";
import { deletionFilter, wordsOf } from "../core/job-filters.js";
import { deleteAll, deleteMatching, forEach } from "../core/selection.js";
import { Button, Dialog, Problem, Sure, toast } from "./parts.js";

export function SelectionBar({ jobs, clear, mayRun, me }) {
  const [busy, setBusy] = useState(false);
  const ended = jobs.filter(hasEnded);
  const live = jobs.filter((job) => !hasEnded(job));
  const mine = ended.filter((job) => job.UserID === me.userId);
  const during = (work) => async () => {
    setBusy(true);
    try {
      await work();
      clear();
    } catch (error) {
      toast(error.message, "bad");
    }
    setBusy(false);
  };
  const again = during(() =>
    forEach(
      ended,
      (job) => post(`jobs/${job.JobID}/rerun`),
      (number) => `${count(number, "job was", "jobs were")} submitted again.`,
    )
  );
  const stop = during(() =>
    forEach(live, (job) => post(`jobs/${job.JobID}/cancel`), (number) => `Cancelling ${count(number, "job")}.`)
  );
  const gone = during(() => deleteAll(mine.map((job) => job.JobID)));
  return html`<div class="selection" role="region" aria-label="Selected jobs">
    <b role="status">${count(jobs.length, "job")} selected</b>
    ${
    live.length > 0 &&
    html`<${Button} icon="stop" disabled=${busy} onClick=${stop}>Cancel ${live.length.toLocaleString()}<//>`
  }
    ${
    mayRun && ended.length > 0 &&
    html`<${Button} icon="again" disabled=${busy} onClick=${again}>Run ${ended.length.toLocaleString()} again<//>`
  }
    ${
    mine.length > 0 &&
    html`<${Sure} icon="trash" label=${`Delete ${mine.length.toLocaleString()}`} question=${`Delete ${
      count(mine.length, "result")
    }?`} onSure=${gone} />`
  }
    <${Button} kind="bare" icon="close" label="Select nothing" onClick=${clear} />
  </div>`;
}

function Ask({ params, onClose }) {
  const [deleted, setDeleted] = useState(null);
  const [error, setError] = useState(null);
  const wanted = useRef(true);
  useEffect(() => () => { wanted.current = false; }, []);
  const words = wordsOf(params);
  const sure = async () => {
    setDeleted(0);
    setError(null);
    try {
      const number = await deleteMatching(deletionFilter(params), setDeleted, () => wanted.current);
      toast(`${count(number, "result was", "results were")} deleted.`);
      onClose();
    } catch (failure) {
      setError(failure);
      setDeleted(null);
    }
  };
  return html`
    <${Dialog} title="Delete results" onClose=${onClose}>
      <div class="form">
        <p>${words ?
          html`All results of your own jobs that match will be deleted,
            also those that are not in view: <b>${words}</b>.`
          : html`<b>All results of your own jobs</b> will be deleted, also those
            that are not in view: no filter is set.`}
          ${" "}This cannot be undone. Jobs that wait or run are not touched.</p>
        ${deleted !== null && html`<p role="status">${deleted.toLocaleString()} deleted so far…</p>`}
        ${error && html`<${Problem} error=${error} />`}
        <div class="form-end"><${Button} kind="danger" icon="trash" disabled=${deleted !==
          null} onClick=${sure}>Delete them all<//>
          <${Button} onClick=${onClose}>${deleted === null ? "Keep them" : "Stop"}<//></div>
      </div><//>
  `;
}

/** A button for all that match, not only what is in view. Nothing where only waiting and running jobs are listed. */
export function DeleteMatching({ params }) {
  const [asking, setAsking] = useState(false);
  const filter = deletionFilter(params);
  if (params.user || (params.state && !filter.status)) return null;
  return html`<${Button} kind="bare" icon="trash" onClick=${() => setAsking(true)}>Delete all that match…<//>
    ${asking && html`<${Ask} params=${params} onClose=${() => setAsking(false)} />`}`;
}
