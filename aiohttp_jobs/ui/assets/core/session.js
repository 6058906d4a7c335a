// Who is signed in and what they may do (`GET /me`). What is not known to be forbidden is offered.
import { createContext, useContext, useEffect, useState } from "./html.js";
import { apiKey, get, getIfThere } from "./api.js";

const MODES = ["BackgroundJob", "Runspace", "MainLoop"];
const UNKNOWN = {
  userId: "", roles: [], proof: "", modes: MODES, interpreters: ["shell", "python", "powershell"],
  defaultInterpreter: "shell", maxPriority: 9, permissions: null, limits: {},
};

export const Session = createContext({ state: "loading", me: UNKNOWN, settings: {}, reload: () => {} });
export const useSession = () => useContext(Session);

/** Whether the caller may use an endpoint, by its name in the server's table of roles. */
export const may = (me, permission) => me.permissions === null || me.permissions.includes(permission);

async function load() {
  const answer = await getIfThere("me");
  if (answer) return { ...UNKNOWN, ...answer.me };
  await get("jobs", { limit: 1 }); // an older server: at least find out whether we are known
  return UNKNOWN;
}

/** `{state: loading | in | out | error, me, error, reload}`; `reload()` resolves to the new state. */
export function useLoadedSession() {
  const [session, setSession] = useState({ state: "loading", me: UNKNOWN, error: null });
  const settle = (news) => { setSession(news); return news.state; };
  const reload = () => load().then(
    (me) => settle({ state: "in", me, error: null }),
    (error) => settle({ state: error.status === 401 ? "out" : "error", me: UNKNOWN, error }),
  );
  useEffect(() => {
    const out = () => setSession((old) => ({ ...old, state: "out", hadKey: Boolean(apiKey.get()) }));
    document.addEventListener("aiohttp-jobs:signed-out", out);
    reload();
    return () => document.removeEventListener("aiohttp-jobs:signed-out", out);
  }, []);
  return { ...session, reload };
}
