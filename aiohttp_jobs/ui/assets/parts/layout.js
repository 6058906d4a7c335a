// The frame around every view: brand, navigation, who is signed in, theme, help.
import { html, useEffect, useState } from "../core/html.js";
import { apiKey } from "../core/api.js";
import { csrfField, fillCsrfField, hasCsrf } from "../core/csrf.js";
import { go, link } from "../core/router.js";
import { may, useSession } from "../core/session.js";
import { Text } from "../core/text.js";
import { useKeys } from "../core/hooks.js";
import { VIEWS } from "../views/index.js";
import { Icon } from "./icons.js";
import { Button, Dialog, Toasts } from "./parts.js";

const THEMES = ["system", "light", "dark"];
const THEME_NAME = "aiohttp-jobs:theme";
const KEYS = [
  ["j / k", "next or previous job in the list"],
  ["Enter", "open it"],
  ["/", "search"],
  ["n", "new job"],
  ["c", "cancel the chosen job"],
  ["r", "run it again"],
  ["x", "select it"],
  ["f", "follow the output"],
  ["w", "wrap long lines"],
  ["Ctrl+Enter", "submit the form"],
  ["Esc", "leave a field, or close"],
  ["?", "this help"],
];

function stored() {
  try {
    return localStorage.getItem(THEME_NAME) ?? "system";
  } catch {
    return "system";
  }
}

function ThemeSwitch() {
  const [theme, setTheme] = useState(stored);
  useEffect(() => {
    const root = document.documentElement;
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      localStorage.setItem(THEME_NAME, theme);
    } catch {
      // Storage is switched off: it lasts as long as the page.
    }
  }, [theme]);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  return html`<${Button} icon="sun" kind="bare" label=${`Theme: ${theme}. Switch to ${next}`} onClick=${() =>
    setTheme(next)} />`;
}

function SignOut() {
  const { settings, me } = useSession();
  if (apiKey.get()) {
    const forget = () => { apiKey.clear(); location.reload(); };
    return html`<${Button} icon="out" kind="bare" label="Forget the API key" onClick=${forget} />`;
  }
  if (!settings.logout || me.proof === "resolver") return null;
  return html`<form method="post" action=${settings.logout} onSubmit=${(event) => fillCsrfField(event.currentTarget)}>
    ${hasCsrf() && html`<input type="hidden" name=${csrfField()} />`}
    <button class="button bare" aria-label="Sign out" title="Sign out"><${Icon} name="out" /></button>
  </form>`;
}

export function Help({ onClose }) {
  return html`<${Dialog} title="Keyboard" onClose=${onClose}>
    <dl class="keys">${KEYS.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
  <//>`;
}

function Navigation({ view, me }) {
  const current = VIEWS[view]?.under ?? view;
  const shown = Object.entries(VIEWS).filter(([, item]) => !item.hidden && (!item.needs || may(me, item.needs)) &&
    (!item.shown || item.shown(me)));
  return html`<nav aria-label="Views"><ul>${shown.map(([name, item]) => html`
    <li key=${name}><a href=${link(name)} aria-current=${name === current ? "page" : undefined}>
      <${Icon} name=${name} />${item.label}</a></li>`)}
  </ul></nav>`;
}

export function Layout({ view, children }) {
  const { settings, me } = useSession();
  const [help, setHelp] = useState(false);
  const [open, setOpen] = useState(false);
  useKeys({ "?": () => setHelp(true), n: () => go(link("new")) });
  useEffect(() => setOpen(false), [view]);
  return html`
    <div class="frame">
      <a class="skip" href="#main" onClick=${(event) => {
        event.preventDefault();
        document.getElementById("main").focus();
      }}>Skip to the content</a>
      <header class=${`side ${open ? "open" : ""}`}>
        <div class="brand">
          <a href=${link("jobs")}>${settings.logo &&
            html`<img src=${settings.logo} alt="" width="28" height="28" />`}<span>${settings.title}</span></a>
          <button type="button" class="button bare menu" aria-expanded=${String(open)} aria-label="Menu" onClick=${() =>
            setOpen(!open)}>
            <${Icon} name="menu" />
          </button>
        </div>
        <div class="side-body">
            ${may(me, "submit") &&
              html`<a class="button primary" href=${link("new")}><${Icon} name="new" /><span>New job</span></a>`}
            <${Navigation} view=${view} me=${me} />
            <div class="who">
              <p class="who-name" title=${me.roles.join(", ")}><${Text}>${me.userId}<//></p>
              <${Button} icon="help" kind="bare" label="Keyboard" onClick=${() => setHelp(true)} />
              <${ThemeSwitch} /><${SignOut} />
            </div>
          </div>
        </header>
        <main id="main" tabindex="-1">${children}</main>
        <${Toasts} />
        ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
      </div>
  `;
}
