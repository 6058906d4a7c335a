// The job list as it is now: loaded once, then kept up to date by the feed. Nothing is asked for repeatedly.
import { useEffect, useReducer, useRef } from "./html.js";
import { get } from "./api.js";
import { hasEnded } from "./actions.js";
import { followList } from "./follow.js";
import { fits, resultQuery } from "./job-filters.js";
import { withNews } from "./progress.js";

const PAGE = 100;
const MOST_LIVE = 1000;
const MOST_KEPT = 5000;
const DRAW_MS = 100;
const LIVE = "running,queued,pending";
const ORDER = { Running: 0, Queued: 1, Pending: 2 };
class JobList {
  jobs = new Map();
  found = new Set();
  removed = new Set();
  status = "loading";
  error = null;
  cursor = null;
  loadingMore = false;
  timer = null;
  turn = 0;
  control = new AbortController();

  constructor(filters, changed) {
    this.filters = filters;
    this.changed = changed;
    const heard = { onEvent: (...event) => this.#event(...event), onState: (state) => this.#state(state) };
    this.feed = followList(filters.scope, heard);
  }

  close() {
    this.feed.close();
    this.control.abort();
    clearTimeout(this.timer);
  }

  /** Other filters on the same jobs: what is known stays in view until the server has answered. */
  refilter(filters) {
    this.filters = filters;
    this.found.clear();
    this.load();
  }

  #draw() {
    this.timer ??= setTimeout(() => { this.timer = null; this.changed(); }, DRAW_MS);
  }

  #state(state) {
    if (typeof state === "string") this.status = state === "live" && this.status === "loading" ? "loading" : state;
    else Object.assign(this, { status: "error", error: state });
    this.#draw();
  }

  #event(name, data) {
    if (name === "hello" || name === "resync") this.load();
    else if (name === "job") this.#note(data);
    else if (name === "removed") this.#remove(data.JobID);
  }

  #note(job) {
    this.jobs.set(job.JobID, withNews(this.jobs.get(job.JobID), job));
    this.#draw();
  }

  #remove(jobId) {
    this.removed.add(jobId);
    this.jobs.delete(jobId);
    this.#draw();
  }

  /** Everything anew; what the feed tells meanwhile is newer and stays. */
  async load() {
    const before = new Map(this.jobs);
    const turn = ++this.turn;
    try {
      const { scope } = this.filters;
      const [live, ended] = await Promise.all([
        get("jobs", { state: LIVE, scope, limit: MOST_LIVE }, this.control.signal), this.#ended(null),
      ]);
      if (turn !== this.turn) return;
      const current = new Map([...live.jobs, ...ended].map((job) => [job.JobID, job]));
      for (const [jobId, job] of this.jobs) if (before.get(jobId) !== job) current.set(jobId, job);
      for (const jobId of this.removed) current.delete(jobId);
      Object.assign(this, { jobs: current, status: "live", error: null });
    } catch (error) {
      if (error.name !== "AbortError") Object.assign(this, { status: "error", error });
    }
    this.#draw();
  }

  async more() {
    this.loadingMore = true;
    this.#draw();
    try {
      for (const job of await this.#ended(this.cursor)) if (!this.jobs.has(job.JobID)) this.jobs.set(job.JobID, job);
    } catch (error) {
      if (error.name !== "AbortError") this.error = error;
    }
    this.loadingMore = false;
    this.#draw();
  }

  /** A page of ended jobs, from the index of results. */
  async #ended(cursor) {
    const query = resultQuery(this.filters);
    if (!query) {
      this.cursor = null;
      return [];
    }
    const answer = await get("results", { ...query, cursor, limit: PAGE }, this.control.signal);
    this.cursor = answer.nextCursor;
    if (query.q) for (const { JobID } of answer.results) this.found.add(JobID);
    return answer.results;
  }

  /** What to show: running first, then what waits, then what has ended, the newest first. */
  rows() {
    const rows = [...this.jobs.values()].filter((job) => this.found.has(job.JobID) || fits(job, this.filters));
    const time = (job) => job.DateCompleted ?? job.SubmittedAt ?? "";
    rows.sort((one, other) => {
      const first = (ORDER[one.Status] ?? 3) - (ORDER[other.Status] ?? 3);
      return first || (hasEnded(one) ? compare(time(other), time(one)) : compare(time(one), time(other)));
    });
    return rows.slice(0, MOST_KEPT);
  }
}

const compare = (one, other) => (one < other ? -1 : Number(one > other));

/** The list for `filters` (as they are in the address). */
export function useJobList(filters) {
  const [, draw] = useReducer((number) => number + 1, 0);
  const list = useRef(null);
  const key = JSON.stringify(filters);
  useEffect(() => {
    list.current = new JobList(filters, draw);
    draw();
    return () => list.current.close();
  }, [filters.scope]);
  useEffect(() => { if (list.current.filters !== filters) list.current.refilter(filters); }, [key]);
  return list.current;
}
