// The views, and what the navigation says of them. Each is fetched when it is first shown.
import { can } from "../core/session.js";

export const VIEWS = {
  jobs: { label: "Jobs", load: () => import("./jobs.js") },
  new: { label: "New job", load: () => import("./new.js"), hidden: true },
  job: { label: "Job", load: () => import("./job.js"), hidden: true, under: "jobs" },
  schedules: { label: "Schedules", load: () => import("./schedules.js") },
  functions: { label: "Functions", load: () => import("./functions.js"), shown: (me) => me.functions },
  templates: { label: "Templates", load: () => import("./templates.js") },
  queue: { label: "Queue", load: () => import("./queue.js"), needs: "see_queue" },
  runspaces: { label: "Runspaces", load: () => import("./runspaces.js"), needs: "see_runspaces" },
  workers: {
    label: "Workers", load: () => import("./workers.js"), shown: (me) => can(me, "manyMachines"), needs: "manage_queue",
  },
  history: { label: "History", load: () => import("./history.js") },
  notices: { label: "Notices", load: () => import("./notices.js") },
  keys: { label: "API keys", load: () => import("./keys.js"), needs: "manage_api_keys" },
  sessions: { label: "Sessions", load: () => import("./sessions.js"), needs: "manage_sessions" },
};
