// Starts the page: finds out who is signed in, then shows the view that the address names.
import { Session, useLoadedSession } from "./core/session.js";
import { html, render, useEffect, useErrorBoundary, useState } from "./core/html.js";
import { link, useRoute } from "./core/router.js";
import { Layout } from "./parts/layout.js";
import { Empty, Loading, Problem } from "./parts/parts.js";
import { SignIn } from "./parts/signin.js";
import { VIEWS } from "./views/index.js";
import { Jobs } from "./views/jobs.js";

const root = document.getElementById("aiohttp-jobs");
const settings = { ...root.dataset };
const loaded = { jobs: Jobs };

function View({ route }) {
  const [, again] = useState(0);
  const [failed, setFailed] = useState(null);
  const [broken, reset] = useErrorBoundary((error) => console.error(error));
  const { view } = route;
  useEffect(() => {
    reset();
    setFailed(null);
    if (loaded[view] || !VIEWS[view]) return;
    VIEWS[view].load().then(
      (module) => {
        loaded[view] = module.default;
        again((number) => number + 1);
      },
      () =>
        setFailed(
          new Error("This part of the page could not be loaded. It may have been updated: load the page again."),
        ),
    );
  }, [view]);
  if (broken) {
    return html`<${Problem} error=${new Error("The page met an error of its own.")} retry=${() =>
      location.reload()} />`;
  }
  if (!VIEWS[view]) {
    return html`<h1>Page not found</h1><${Empty} title="There is no such page">
      Check the address, or go to <a href=${link("jobs")}>the jobs</a>.<//>`;
  }
  if (failed) return html`<${Problem} error=${failed} retry=${() => location.reload()} />`;
  const Shown = loaded[view];
  return Shown ? html`<${Shown} key=${view + (route.id ?? "")} route=${route} />` : html`<${Loading} />`;
}

function App() {
  const session = useLoadedSession();
  const route = useRoute();
  useEffect(() => scrollTo(0, 0), [route.view, route.id]);
  const value = { ...session, settings };
  return html`<${Session.Provider} value=${value}>
    ${session.state === "loading" && html`<${Loading} />`}
    ${session.state === "out" && html`<${SignIn} />`}
    ${
    session.state === "error" && html`
      <main class="signin">
        <${Problem} error=${session.error} retry=${session.reload} />
      </main>
    `
  }
    ${
    session.state === "in" && html`
      <${Layout} view=${route.view}>
        <${View} route=${route} />
        <//>
    `
  }
  <//>`;
}

render(html`<${App} />`, root);
