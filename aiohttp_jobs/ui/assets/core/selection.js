// Which jobs of the list are selected, and what is done with many at once.
import { useRef, useState } from "./html.js";
import { post } from "./api.js";
import { count } from "./format.js";
import { toast } from "../parts/parts.js";

const MOST_IDS = 1000;

/** `{ids, has, toggle(id, range), set, clear}`; with `range`, everything since the last one too.
 * `order` are the ids as listed. */
export function useSelection(order) {
  const [ids, setIds] = useState(() => new Set());
  const last = useRef(null);
  const toggle = (id, range = false) => {
    const next = new Set(ids);
    const [at, from] = [order.indexOf(id), range ? order.indexOf(last.current) : -1];
    const touched = from < 0 ? [id] : order.slice(Math.min(at, from), Math.max(at, from) + 1);
    const add = !ids.has(id);
    for (const one of touched) if (add) next.add(one); else next.delete(one);
    last.current = id;
    setIds(next);
  };
  return {
    ids,
    has: (id) => ids.has(id),
    toggle,
    set: (some) => setIds(new Set(some)),
    clear: () => setIds(new Set()),
  };
}

/** Delete results by their jobs' ids. */
export async function deleteAll(ids) {
  let deleted = 0;
  for (let at = 0; at < ids.length; at += MOST_IDS) {
    deleted += (await post("results/delete", { jobIds: ids.slice(at, at + MOST_IDS) })).deleted;
  }
  toast(`${count(deleted, "result was", "results were")} deleted.`);
}

/** Delete all of one's own results that fit `filter`; `told(n)` hears how many are gone. */
export async function deleteMatching(filter, told, isWanted) {
  let deleted = 0;
  for (let more = true; more && isWanted();) {
    const answer = await post("results/delete", { filter });
    deleted += answer.deleted;
    more = answer.more && answer.deleted > 0;
    told(deleted);
  }
  return deleted;
}

/** Do `act(job)` for each, one after the other; what could not be done is told with the first reason. */
export async function forEach(jobs, act, done) {
  let failure = null;
  let failed = 0;
  for (const job of jobs) {
    try {
      await act(job);
    } catch (error) {
      failure ??= error;
      failed += 1;
    }
  }
  if (jobs.length > failed) toast(done(jobs.length - failed));
  if (failure) toast(`${failed} of ${jobs.length} could not be done. ${failure.message}`, "bad");
}
