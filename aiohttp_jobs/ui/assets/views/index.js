// The views, and what the navigation says of them. Each is fetched when it is first shown.
export const VIEWS = {
  jobs: { label: "Jobs", load: () => import("./jobs.js") },
  new: { label: "New job", load: () => import("./new.js"), hidden: true },
  job: { label: "Job", load: () => import("./job.js"), hidden: true, under: "jobs" },
};
