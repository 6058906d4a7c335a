"""A real browser (Debian's Chromium, by Playwright) and users who sit in front of it.

After each test it is checked that the page broke no rule of its Content-Security-Policy, met no error of its
own, and asked nobody but its own host for anything. All tests here run in the browser's event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    ViewportSize,
    async_playwright,
    expect,
)

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.ui.assets import package_assets
from tests.conftest import Host, starting_hosts

expect.set_options(timeout=15_000)  # of a busy machine
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--process-per-site",  # of a user's tabs: a process for each takes half a second of a processor
    "--disable-site-isolation-trials",  # or each visit has a new process, for a third of its time
]
TIMEZONE = "America/New_York"  # not that of any host or schedule
DESKTOP = ViewportSize(width=1280, height=720)
PHONE = ViewportSize(width=360, height=740)
_AXE = Path(__file__).with_name("axe.min.js")
_AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_AXE_RUN = """async (runOnly) => {
  const options = {runOnly, resultTypes: ["violations"]};
  const {violations} = await axe.run(document, options);
  const told = (node) => `${node.html} ${node.any.map((one) => one.message)}`;
  return violations.map(({id, nodes}) => `${id}: ${nodes.map(told).join(" | ")}`);
}"""
# Animations are waited for: in them, colours are between two states.
_STILL = """() => Promise.all(document.getAnimations()
  .filter((one) => one.effect.getTiming().iterations < 9).map((one) => one.finished.catch(() => 0)))"""
_NOTE_VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));"""


@dataclass
class Visitor:
    """Somebody with a browser of their own."""

    page: Page
    context: BrowserContext
    host: Host
    faults: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{self.host.address}{self.host.config.prefix}/"

    async def sign_in(self, *roles: str, user_id: str = "alice") -> None:
        """By the host's own sign-in; also in place of who was signed in."""
        body = {"user_id": user_id, "roles": list(roles)}
        assert (await self.context.request.post(f"{self.host.address}/login", data=body)).ok

    async def open(self, view: str = "") -> Page:
        await self.page.goto(self.address + view)
        return self.page

    async def submit(self, command: str, name: str = "Test", **fields: Any) -> str:
        """Submit a job past the page, as this user; its id."""
        body = {"jobName": name, "command": command, "executionMode": "BackgroundJob", **fields}
        answer = await self.context.request.post(f"{self.host.api}/jobs/submit", data=body)
        assert answer.ok, await answer.text()
        job_id: str = (await answer.json())["jobId"]
        return job_id

    async def accessibility_faults(self, *rules: str) -> list[str]:
        """What axe-core finds on the page as it is now; by `rules`, or by all."""
        await self.page.evaluate(_STILL)
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(_AXE.read_text())
        found: list[str] = await self.page.evaluate(_AXE_RUN, list(rules) or _AXE_TAGS)
        return found

    async def keeps_nobody_out(self, view: str) -> None:
        """Assert it of what is shown, light, dark and on a phone; and that nothing is wider than the window.

        On a phone what is shown now has to be drawn: what follows the window's width does so a moment later.
        """
        for size in (PHONE, DESKTOP):
            await self.page.set_viewport_size(size)
            assert await self.accessibility_faults() == [], f"{view} at {size}"
            width = await self.page.evaluate("document.documentElement.scrollWidth")
            assert width <= await self.page.evaluate("innerWidth"), f"{view} at {size}"
        await self.page.emulate_media(color_scheme="dark")
        assert await self.accessibility_faults("color-contrast") == [], f"{view} in the dark"
        await self.page.emulate_media(color_scheme="light")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Until it is left, what the page does wrong becomes `faults`."""
        seen: dict[Any, Callable[[Any], None]] = {
            "pageerror": lambda error: self.faults.append(f"error: {error}"),
            "console": lambda message: self._note(message.text),
            "request": lambda request: self._note_request(request.url),
        }
        for name, note in seen.items():
            self.page.on(name, note)
        yield
        for name, note in seen.items():
            self.page.remove_listener(name, note)

    def _note(self, text: str) -> None:
        if text.startswith("CSP") or "Content Security Policy" in text:
            self.faults.append(text)

    def _note_request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" != self.host.address:
            self.faults.append(f"asked another host: {url}")


Visit = Callable[..., Awaitable[Visitor]]


async def modules(host: Host, visit: Visit) -> tuple[Page, str]:
    """An empty page of the host, in which the page's modules can be imported, and their folder's address.

    The page itself, which nobody looks at then, would take four times as long.
    """
    page = (await visit(host)).page
    await page.goto(f"{host.address}/nothing")
    return page, f"{host.address}{host.config.prefix}/ui/{package_assets().fingerprint}/core"


class Windows:
    """A browser's windows: contexts with a page each.

    Until the page is shown, a new one takes two seconds of a processor, one that was used a third of one.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._used: list[Page] = []

    async def free(self) -> Page:
        """One that a visitor has left, who did nothing to it that the next could see; or a new one."""
        if self._used:
            return self._used.pop()
        context = await self._browser.new_context(
            locale="en-GB", timezone_id=TIMEZONE, reduced_motion="reduce", viewport=DESKTOP
        )
        await context.add_init_script(_NOTE_VIOLATIONS)
        return await context.new_page()

    async def leave(self, page: Page) -> None:
        """For the next visitor, with no other pages; closed where the visitor closed it."""
        context = page.context
        if page.is_closed():
            await context.close()
            return
        for other in context.pages:
            if other is not page:
                await other.close()
        if page.url.startswith("http"):
            await page.evaluate("() => { localStorage.clear(); sessionStorage.clear() }")
        await page.goto("about:blank")
        await page.unroute_all()
        await page.emulate_media(color_scheme="light")
        await page.set_viewport_size(DESKTOP)
        await context.clear_cookies()
        await context.clear_permissions()
        self._used.append(page)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder run in one event loop, the browser's: one in another would wait for ever."""
    for item in items:
        if item.path.parent == Path(__file__).parent and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    async with async_playwright() as playwright:
        yield playwright


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(playwright: Playwright) -> AsyncIterator[Browser]:
    """One for all tests of a worker: starting it costs more than most tests."""
    if not CHROMIUM.exists():
        pytest.skip(f"the browser tests did not run: there is no {CHROMIUM} (apt-get install chromium)")
    browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
    yield browser
    await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def windows_of_all(browser: Browser) -> Windows:
    return Windows(browser)


@pytest_asyncio.fixture(loop_scope="session")
async def start_host(
    make_config: Callable[..., JobsConfig],
    warm_workers: None,  # which the page shows
) -> AsyncIterator[Callable[..., Awaitable[Host]]]:
    """As for all tests, in the browser's event loop."""
    async with starting_hosts(make_config) as start:
        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def host(start_host: Callable[..., Awaitable[Host]]) -> Host:
    return await start_host()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(windows_of_all: Windows) -> AsyncIterator[Visit]:
    """Makes visitors of a host; without roles they are not signed in. `permissions` are the browser's."""
    visitors: list[Visitor] = []

    async def arrive(
        host: Host, *roles: str, user_id: str = "alice", permissions: Sequence[str] = ()
    ) -> Visitor:
        page = await windows_of_all.free()
        if permissions:  # of none, it would refuse all others
            await page.context.grant_permissions(permissions)
        visitor = Visitor(page, page.context, host)
        watching.enter_context(visitor.watched())
        visitors.append(visitor)
        if roles:
            await visitor.sign_in(*roles, user_id=user_id)
        return visitor

    with ExitStack() as watching:
        yield arrive
        for visitor in visitors:
            assert visitor.faults == []
    for visitor in visitors:
        await windows_of_all.leave(visitor.page)
