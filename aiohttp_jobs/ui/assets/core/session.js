// Who is signed in and what they may do (`GET /me`).
import { createContext, useContext, useEffect, useState } from "./html.js";
import { apiKey, get } from "./api.js";
import { signedIn } from "./follow.js";

const NOBODY = {
  userId: "",
  roles: [],
  proof: "",
  modes: [],
  interpreters: [],
  defaultInterpreter: "shell",
  maxPriority: 0,
  permissions: [],
  capabilities: [],
  functions: false,
  limits: {},
};

export const Session = createContext({ state: "loading", me: NOBODY, settings: {}, reload: () => {} });
export const useSession = () => useContext(Session);

/** Whether the caller may use an endpoint, by its name in the server's table of roles. */
export const may = (me, permission) => me.permissions.includes(permission);

/** Whether this installation can do what not every one can: "labels", "manyMachines". */
export const can = (me, capability) => (me.capabilities ?? []).includes(capability);

/** `{state: loading | in | out | error, me, error, reload}`; `reload()` resolves to the new state. */
export function useLoadedSession() {
  const [session, setSession] = useState({ state: "loading", me: NOBODY, error: null });
  const settle = (news) => {
    if (news.state !== "error") signedIn(news.me.userId);
    setSession(news);
    return news.state;
  };
  const reload = () => get("me").then(
    ({ me }) => settle({ state: "in", me, error: null }),
    (error) => settle({ state: error.status === 401 ? "out" : "error", me: NOBODY, error }),
  );
  // Somebody else may have signed in meanwhile, in another tab: what this one shows is not theirs.
  const check = () =>
    get("me").then(
      ({ me }) => {
        if (shownTo && me.userId !== shownTo) location.reload(); else settle({ state: "in", me, error: null });
      },
      () => {}, // a 401 is told by an event
    );
  const shownTo = session.state === "in" ? session.me.userId : null;
  useEffect(() => {
    const restored = ({ persisted }) => { if (persisted) location.reload(); };
    const shown = () => { if (shownTo && !document.hidden) check(); };
    addEventListener("pageshow", restored);
    document.addEventListener("visibilitychange", shown);
    document.addEventListener("aiohttp-jobs:connected-again", check);
    return () => {
      removeEventListener("pageshow", restored);
      document.removeEventListener("visibilitychange", shown);
      document.removeEventListener("aiohttp-jobs:connected-again", check);
    };
  }, [shownTo]);
  useEffect(() => {
    const out = () => {
      signedIn("");
      setSession((old) => ({ ...old, state: "out", hadKey: Boolean(apiKey.get()) }));
    };
    document.addEventListener("aiohttp-jobs:signed-out", out);
    reload();
    return () => document.removeEventListener("aiohttp-jobs:signed-out", out);
  }, []);
  return { ...session, reload };
}
