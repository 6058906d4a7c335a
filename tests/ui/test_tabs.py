"""Many tabs of one browser: they share few connections, hidden ones hold none, none shows what others own.

Playwright makes every page believe that it is visible. Where that matters, tests have a browser of their own,
as its users know it: of the tabs of a window only the one in front is visible.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest_asyncio
from aiohttp import web
from aiohttp.typedefs import Handler
from playwright.async_api import Browser, BrowserContext, Locator, Page, Playwright, expect

from tests.conftest import Host
from tests.gate import Gate, until, until_answered

from ..gate import PATIENCE_SECONDS
from .conftest import ARGUMENTS, CHROMIUM, Visit

StartHost = Callable[..., Awaitable[Host]]
TABS = 7
"""More than the six connections that a browser has to one host."""
MOST_STREAMS = 3
ESTABLISHED = 1
"""The state of a TCP connection that nobody has closed (``TCP_ESTABLISHED`` in Linux' ``tcp_states.h``)."""
NAME = "jobs.example"
_AT = re.compile(r"ws://127\.0\.0\.1:([0-9]+)/")


def _is_connected(transport: asyncio.Transport) -> bool:
    """Whether neither end has closed it."""
    try:
        state = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except (AttributeError, OSError):  # it is closed here
        return False
    return bool(state[0] == ESTABLISHED)


class Streams:
    """The event streams that are open between a host and its browsers, as the host sees them."""

    def __init__(self) -> None:
        self._requests: list[web.Request] = []
        self.most = 0

    @property
    def open(self) -> int:
        # One that the browser has left may be answered for longer, on a busy machine: the kernel knows.
        return sum(one.transport is not None and _is_connected(one.transport) for one in self._requests)

    def _measure(self) -> None:
        self.most = max(self.most, self.open)

    def app(self) -> web.Application:
        """A host's application, with a page of its own, that counts."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not request.path.endswith(("/feed", "/events")):
                return await handler(request)
            self._requests.append(request)
            # A moment later, as it may have come before the news that the one before it was left.
            asyncio.get_running_loop().call_later(0.2, self._measure)
            try:
                return await handler(request)
            finally:
                self._requests.remove(request)

        async def own_page(request: web.Request) -> web.Response:
            return web.Response(text="<h1>The host's own</h1>", content_type="text/html")

        app = web.Application(middlewares=[count])
        app.router.add_get("/own", own_page)
        return app


@pytest_asyncio.fixture(loop_scope="session")
async def windows(playwright: Playwright, tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser whose tabs are visible when they are in front, in which `NAME` is this machine."""
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *ARGUMENTS,
        "--headless=new",
        "--remote-debugging-port=0",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
    )
    reading = None
    try:
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (match := _AT.search((await process.stderr.readline()).decode())) is None:
                pass
        reading = asyncio.ensure_future(process.stderr.read())
        yield await playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{match[1]}", no_defaults=True)
    finally:
        process.terminate()
        await process.wait()
        if reading is not None:
            await reading


def named_address(host: Host) -> str:
    """The page's address by a name: to a browser no secure context, as on most local networks."""
    return f"http://{NAME}:{urlsplit(host.address).port}{host.config.prefix}/"


async def open_tab(context: BrowserContext, address: str) -> Page:
    page = await context.new_page()
    await page.goto(address)
    return page


async def sign_in(page: Page, user_id: str) -> None:
    """By the host's own sign-in, in the browser."""
    body = {"user_id": user_id, "roles": ["task_manager"]}
    send = "body => fetch('/login', {method: 'POST', body: JSON.stringify(body)}).then(answer => answer.ok)"
    assert await page.evaluate(send, body)


async def visible(page: Page) -> bool:
    return bool(await page.evaluate("document.visibilityState === 'visible'"))


def job_named(page: Page, name: str) -> Locator:
    return page.get_by_role("link", name=name, exact=True)


async def test_many_tabs_leave_room_for_the_host_and_outputs_side_by_side_take_turns(
    start_host: StartHost, visit: Visit, tmp_path: Path
) -> None:
    streams = Streams()
    host = await start_host(streams.app(), max_parallel_background=TABS, max_parallel_per_user=TABS)
    visitor = await visit(host, "task_manager")
    pages = [await open_tab(visitor.context, visitor.address) for _ in range(TABS)]
    for page in pages:
        await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    own = await open_tab(visitor.context, f"{host.address}/own")
    await expect(own.get_by_role("heading")).to_have_text("The host's own")
    await host.caller("task_manager").submit("true", jobName="From elsewhere")
    for page in pages:
        await expect(job_named(page, "From elsewhere")).to_be_visible()
    assert (streams.open, streams.most) == (1, 1)

    gate = Gate(tmp_path / "gate")
    commands = [f"print('begin {n}', flush=True)\n{gate.python}\nprint('end {n}')" for n in range(TABS)]
    ids = [await visitor.submit(one, f"Job {n}", interpreter="python") for n, one in enumerate(commands)]
    await gate.reached(TABS)
    for page, job_id in zip(pages, ids, strict=True):
        await page.evaluate("view => { location.hash = view }", f"#/job/{job_id}")
    for n, page in enumerate(pages):
        await expect(page.locator(".line", has_text=f"begin {n}")).to_be_visible()
    await own.goto(visitor.address)
    await expect(job_named(own, "Job 3")).to_be_visible()
    gate.open()
    for n, page in enumerate(pages):
        await expect(page.locator(".title .badge")).to_have_text("Succeeded")
        await expect(page.locator(".line")).to_have_text([f"begin {n}", f"end {n}"])
    await expect(own.get_by_role("row", name=re.compile("Succeeded"))).to_have_count(TABS + 1)
    assert streams.most <= MOST_STREAMS


async def test_what_happens_while_the_stream_changes_hands_is_seen(
    start_host: StartHost, visit: Visit, tmp_path: Path
) -> None:
    streams = Streams()
    host = await start_host(streams.app())
    visitor = await visit(host, "task_manager")
    gate = Gate(tmp_path / "gate")
    job_id = await visitor.submit(f"echo before; {gate.shell}; echo after", "Watched")
    first = await visitor.open()
    await expect(job_named(first, "Watched")).to_be_visible()
    listing = await open_tab(visitor.context, visitor.address)
    output = await open_tab(visitor.context, f"{visitor.address}#/job/{job_id}")
    await expect(job_named(listing, "Watched")).to_be_visible()
    await expect(output.locator(".line", has_text="before")).to_be_visible()
    await first.close()
    await visitor.submit("true", "As the first closed")
    await expect(job_named(listing, "As the first closed")).to_be_visible()
    assert visitor.context.browser is not None
    devtools = await visitor.context.browser.new_browser_cdp_session()
    targets = (await devtools.send("Target.getTargets", {"filter": [{"type": "shared_worker"}]}))[
        "targetInfos"
    ]
    (worker,) = [one for one in targets if one["url"].startswith(visitor.address)]
    await devtools.send("Target.closeTarget", {"targetId": worker["targetId"]})
    await until(lambda: not streams.open, "the end of the streams of a worker that was ended")
    await visitor.submit("true", "As the worker ended")
    gate.open()
    patience = 60_000
    await expect(job_named(listing, "As the worker ended")).to_be_visible(timeout=patience)
    await expect(output.locator(".line")).to_have_text(["before", "after"], timeout=patience)
    await expect(output.locator(".title .badge")).to_have_text("Succeeded")


async def test_hidden_tabs_hold_no_connection_and_catch_up_when_shown(
    start_host: StartHost, windows: Browser, tmp_path: Path
) -> None:
    streams = Streams()
    host = await start_host(streams.app())
    alice = host.caller("task_manager")
    gate = Gate(tmp_path / "gate")
    job_id = await alice.submit(f"echo one; {gate.shell}; echo two", jobName="Watched")
    context = windows.contexts[0]
    own = await open_tab(context, named_address(host).replace(host.config.prefix + "/", "/own"))
    assert not await own.evaluate("isSecureContext")
    await sign_in(own, "alice")
    listings = [await open_tab(context, named_address(host)) for _ in range(2)]
    output = await open_tab(context, f"{named_address(host)}#/job/{job_id}")
    await expect(output.locator(".line", has_text="one")).to_be_visible()
    await until_answered(lambda: visible(output), "the tab in front being visible")
    assert not any([await visible(page) for page in (own, *listings)])
    await until(lambda: streams.open == 1, "hidden tabs letting go of the list")
    await own.bring_to_front()
    await until(lambda: not streams.open, "every hidden tab letting go")
    await alice.submit("true", jobName="Meanwhile")
    gate.open()
    await alice.result(job_id)
    for page in listings:
        await page.bring_to_front()
        await expect(job_named(page, "Meanwhile")).to_be_visible()
    await output.bring_to_front()
    await expect(output.locator(".line")).to_have_text(["one", "two"])
    for page in (output, *listings):
        await page.close()
    await until(lambda: not streams.open, "closed tabs letting go")


async def test_without_shared_workers_every_visible_tab_has_one_of_its_own(
    start_host: StartHost, visit: Visit
) -> None:
    streams = Streams()
    host = await start_host(streams.app())
    visitor = await visit(host, "task_manager")
    pages = [await visitor.context.new_page() for _ in range(3)]
    for page in pages:
        await page.add_init_script("delete window.SharedWorker")
        await page.goto(visitor.address)
    await visitor.submit("true", "Seen")
    for page in pages:
        await expect(job_named(page, "Seen")).to_be_visible()
    assert streams.open == 3
    await pages.pop().close()
    await until(lambda: streams.open == 2, "a closed tab letting go")


async def test_tabs_of_the_last_user_show_nothing_once_another_signs_in(
    start_host: StartHost, visit: Visit
) -> None:
    """At once: neither the stream's next look at rights nor a look at the tab is waited for."""
    streams = Streams()
    host = await start_host(streams.app(), heartbeat_interval=600)
    visitor = await visit(host, "task_manager")
    await visitor.submit("true", "Of Alice")
    page, other = await visitor.open(), await open_tab(visitor.context, f"{visitor.address}#/templates")
    await expect(job_named(page, "Of Alice")).to_be_visible()
    own = await open_tab(visitor.context, f"{host.address}/own")
    await sign_in(own, "bob")
    bobs = await open_tab(visitor.context, visitor.address)
    await expect(bobs.get_by_text("No jobs yet")).to_be_visible()
    for one in (page, other):
        await expect(one.locator(".who-name")).to_have_text("bob")
    await expect(page.get_by_text("No jobs yet")).to_be_visible()
    await host.caller("task_manager").submit("true", jobName="Of Alice, later")
    await host.caller("task_manager", user_id="bob").submit("true", jobName="Of Bob")
    for one in (page, bobs):
        await expect(job_named(one, "Of Bob")).to_be_visible()
        await expect(one.get_by_text("Of Alice")).to_have_count(0)
    await own.evaluate("fetch('/logout', {method: 'POST'})")
    await own.goto(visitor.address)
    for one in (own, page, bobs, other):
        await expect(one.get_by_text("You are not signed in")).to_be_visible()


async def test_tabs_of_two_users_in_one_browser_share_nothing(host: Host, visit: Visit) -> None:
    """One is signed in, the other has entered an API key in a tab."""
    visitor = await visit(host, "task_manager")
    page = await visitor.open()
    await expect(page.get_by_text("No jobs yet")).to_be_visible()
    secret = (
        host.caller("task_manager", user_id="bob").session.headers["Authorization"].removeprefix("Bearer ")
    )
    key_name = f"aiohttp-jobs:{host.config.prefix}/:api-key"
    bobs = await visitor.context.new_page()
    await bobs.add_init_script(f"sessionStorage.setItem({key_name!r}, {secret!r})")
    await bobs.goto(visitor.address)
    await expect(bobs.locator(".who-name")).to_have_text("bob")
    await expect(bobs.get_by_text("No jobs yet")).to_be_visible()
    await host.caller("task_manager", user_id="bob").submit("true", jobName="Of Bob")
    await visitor.submit("true", "Of Alice")
    await expect(job_named(bobs, "Of Bob")).to_be_visible()
    await expect(job_named(page, "Of Alice")).to_be_visible()
    await expect(page.get_by_text("Of Bob")).to_have_count(0)
    await expect(bobs.get_by_text("Of Alice")).to_have_count(0)
    await expect(page.locator(".who-name")).to_have_text("alice")
