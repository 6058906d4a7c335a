// For those who are not signed in: the host's own sign-in, or an API key.
import { html, useState } from "../core/html.js";
import { apiKey } from "../core/api.js";
import { useSession } from "../core/session.js";
import { useTitle } from "../core/hooks.js";
import { Field } from "./parts.js";

export function SignIn() {
  const { settings, reload, hadKey } = useSession();
  const [secret, setSecret] = useState("");
  const [problem, setProblem] = useState(hadKey ? "This key is not valid. Check it, or ask whoever created it." : "");
  useTitle("Sign in");
  const next = encodeURIComponent(location.pathname + location.search + location.hash);
  const use = async (event) => {
    event.preventDefault();
    if (!secret.trim()) return setProblem("Enter a key, or sign in above.");
    apiKey.set(secret.trim());
    if ((await reload()) === "in") return undefined;
    apiKey.clear();
    return setProblem("This key is not valid. Check it, or ask whoever created it.");
  };
  return html`
    <main class="signin" id="main">
      <div class="panel">
          ${settings.logo && html`<img src=${settings.logo} alt="" width="44" height="44" />`}
          <h1>${settings.title}</h1>
          <p>Run commands as jobs, follow them, and search their results. You are not signed in.</p>
          ${settings.login
            ? html`<a class="button primary" href=${settings.login.replace("{next}", next)}>Sign in</a>`
            : html`<p>Sign in to this application first, then load this page again.</p>`}
          <details open=${Boolean(problem)}>
            <summary>Use an API key instead</summary>
            <form onSubmit=${use}>
              <${Field} label="API key" problem=${problem} hint="Kept in this tab only, until it is closed.">
                ${(ids) =>
                  html`<input type="password" autocomplete="off" ...${ids} value=${secret} onInput=${(event) =>
                    setSecret(event.target.value)} />`}
              <//>
              <button class="button">Use this key</button>
            </form>
          </details>
        </div>
      </main>
  `;
}
