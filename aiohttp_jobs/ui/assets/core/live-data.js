// Data that is loaded anew when the job feed says that something changed; at most once in a while, never by the clock.
import { useEffect } from "./html.js";
import { followList } from "./follow.js";
import { useData } from "./hooks.js";

const PAUSE_MS = 700;

/** Like `useData`, for what the jobs of `scope` change. */
export function useLiveData(load, inputs, scope) {
  const result = useData(load, inputs);
  useEffect(() => {
    let timer = null;
    const changed = () => { timer ??= setTimeout(() => { timer = null; result.reload(); }, PAUSE_MS); };
    const feed = followList(scope, { onEvent: changed, onState: () => {} });
    return () => { feed.close(); clearTimeout(timer); };
  }, [...inputs, scope]);
  return result;
}
