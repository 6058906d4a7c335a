// One job as it is now, with its output: followed while it lives, read in pages once it has ended.
import { useEffect, useReducer, useRef } from "./html.js";
import { get, getOutput } from "./api.js";
import { hasEnded } from "./actions.js";
import { follow } from "./follow.js";
import { OutputLines } from "./output-lines.js";
import { progressOf, withNews } from "./progress.js";

const PAGE_BYTES = 1024 * 1024;

class JobState {
  job = null;
  error = null;
  status = "loading";
  attempts = [];
  frame = null;
  stream = null;
  control = new AbortController();

  constructor(jobId, changed) {
    this.jobId = jobId;
    this.changed = changed;
    this.lines = new OutputLines(async (offset, bytes) =>
      (await getOutput(jobId, offset, bytes, this.control.signal)).text
    );
    this.start();
  }

  close() {
    this.control.abort();
    this.stream?.close();
    cancelAnimationFrame(this.frame);
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.changed(); });
  }

  async start() {
    try {
      this.job = (await get(`jobs/${this.jobId}`, {}, this.control.signal)).job;
      this.#readAttempts();
      this.draw();
      if (hasEnded(this.job)) await this.#read();
      else this.#follow();
    } catch (error) {
      if (error.name !== "AbortError") Object.assign(this, { error, status: "error" });
    }
    this.draw();
  }

  async #read() {
    let offset = 0;
    for (let complete = false; !complete && !this.control.signal.aborted;) {
      const part = await getOutput(this.jobId, offset, PAGE_BYTES, this.control.signal);
      if (part.text) this.lines.add(part.text, part.offset, part.next);
      complete = part.complete || (!part.text && part.next <= offset);
      offset = part.next;
      this.status = complete ? "ended" : "reading";
      this.draw();
    }
    this.lines.end();
    this.status = "ended";
  }

  #follow() {
    this.status = "connecting";
    this.stream = follow(`jobs/${this.jobId}/events`, {
      onEvent: (name, data, id) => this.#event(name, data, id),
      onState: (state) => {
        Object.assign(this, typeof state === "string" ? { status: state } : { status: "error", error: state });
        this.draw();
      },
    });
  }

  #event(name, data, id) {
    this.draw();
    if (name === "output") {
      this.lines.add(data.Text, data.Offset, Number(id.split("-")[1]));
    } else if (name === "status") {
      const again = this.job.Attempt !== data.Attempt;
      this.job = withNews(this.job, data);
      if (again) { this.lines.reset(); this.#readAttempts(); }
    } else if (name === "progress") {
      this.job = { ...this.job, Progress: progressOf(data) };
    } else if (name === "end") {
      this.job = { ...this.job, ...data };
      this.lines.end();
      this.status = "ended";
      this.#readAttempts();
      return "stop";
    }
    return undefined;
  }

  async #readAttempts() {
    if (!(this.job.Attempt > 1)) return;
    try {
      this.attempts = (await get(`jobs/${this.jobId}/attempts`, {}, this.control.signal)).attempts;
      this.draw();
    } catch {
      // The job itself is shown all the same; it may have been deleted meanwhile.
    }
  }
}

/** `{job, lines, attempts, status, error, start}`, or null before the first look. */
export function useJob(jobId) {
  const [, draw] = useReducer((number) => number + 1, 0);
  const state = useRef(null);
  useEffect(() => {
    state.current = new JobState(jobId, draw);
    draw();
    return () => state.current.close();
  }, [jobId]);
  return state.current;
}
