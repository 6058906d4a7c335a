// The page's icons, drawn with one stroke in the text's colour.
import { html } from "../core/html.js";

const PATHS = {
  jobs: "M4 6h16M4 12h16M4 18h10",
  new: "M12 5v14M5 12h14",
  schedules: "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  templates: "M6 3h9l4 4v14H6zM14 3v5h5M9 13h7M9 17h7",
  functions: "M15 4h-1.5a3 3 0 0 0-3 3v10a3 3 0 0 1-3 3H6M7 11h7M15 13l5 6M20 13l-5 6",
  queue: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  runspaces: "M4 5h16v6H4zM4 14h16v6H4zM8 8h.01M8 17h.01",
  workers: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  history: "M4 20V10M10 20V4M16 20v-7M21 20H3",
  keys: "M15 9a4 4 0 1 0-3.9 4L9 15H7v2H5v3h3l5-5.1A4 4 0 0 0 15 9z",
  sessions: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21a8 8 0 0 1 16 0",
  notices: "M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 21h4",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20 20",
  stop: "M6 6h12v12H6z",
  again: "M19 12a7 7 0 1 1-2-5M19 4v4h-4",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  down: "M12 4v12M7 11l5 5 5-5M5 20h14",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  sun:
    "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4" +
    "M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  menu: "M4 7h16M4 12h16M4 17h16",
  help: "M9.5 9a2.5 2.5 0 1 1 3.5 2.3c-.7.4-1 .9-1 1.7M12 17h.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  out: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  wrap: "M4 6h16M4 12h13a3 3 0 0 1 0 6h-4M15 16l-2 2 2 2M4 18h5",
  follow: "M12 4v10M8 10l4 4 4-4M5 19h14",
  pause: "M9 5v14M15 5v14",
  play: "M8 5l11 7-11 7z",
  up: "M6 15l6-6 6 6",
  next: "M6 9l6 6 6-6",
  close: "M6 6l12 12M18 6L6 18",
};

export function Icon({ name }) {
  return html`
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d=${PATHS[name]} />
    </svg>
  `;
}
