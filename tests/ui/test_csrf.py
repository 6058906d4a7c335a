"""The page in a host whose own middleware asks for a token with all that changes something."""

from __future__ import annotations

import runpy
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio
from aiohttp import web
from aiohttp.typedefs import Handler
from playwright.async_api import Page, expect

from aiohttp_jobs import JobsConfig
from tests.conftest import Host, serve

from .conftest import Visit

EXAMPLE = Path(__file__).parents[2] / "docs" / "how-to" / "examples" / "csrf.py"
StartHost = Callable[..., Awaitable[Host]]
TEMPLATE = """<!doctype html><html lang="en"><head>
<meta name="csrf-token" content="the token">{{ jobs_head }}</head>
<body>{{ jobs_body }}</body></html>"""


@pytest_asyncio.fixture(loop_scope="session")
async def serve_example(
    make_config: Callable[..., JobsConfig],
) -> AsyncIterator[Callable[..., Awaitable[Host]]]:
    """Serves the how-to's example with further settings."""
    hosts: list[Host] = []

    async def start(**settings: str) -> Host:
        config = make_config(ui_logout_url="/logout", **settings)
        hosts.append(await serve(runpy.run_path(str(EXAMPLE))["make_app"](config), config))
        return hosts[-1]

    yield start
    for host in hosts:
        await host.stop()


async def submit_in(page: Page) -> None:
    await page.get_by_role("link", name="Run your first command").click()
    await page.get_by_label("Name", exact=True).fill("Greet")
    await page.get_by_label("Command", exact=True).fill("echo hello")
    await page.keyboard.press("Control+Enter")


async def test_a_token_in_a_cookie_is_sent_with_all_that_changes_something(
    serve_example: StartHost, visit: Visit
) -> None:
    host = await serve_example(ui_csrf_cookie="csrf")
    visitor = await visit(host, "task_manager")
    page = await visitor.open()
    await submit_in(page)
    await expect(page.locator(".title .badge")).to_have_text("Succeeded")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/logout")
    await visitor.open()
    await expect(page.get_by_text("Use an API key instead")).to_be_visible()


async def test_an_api_key_needs_no_token(serve_example: StartHost) -> None:
    host = await serve_example()
    assert (await host.caller("debug").run("echo hello"))["Output"] == "hello\n"


async def test_a_token_in_a_meta_element_is_sent(start_host: StartHost, visit: Visit, tmp_path: Path) -> None:
    @web.middleware
    async def ask(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.endswith("/jobs/submit") and request.headers.get("X-Token") != "the token":
            raise web.HTTPForbidden
        return await handler(request)

    template = tmp_path / "page.html"
    template.write_text(TEMPLATE)
    settings = {"ui_template": template, "ui_csrf_meta": "csrf-token", "ui_csrf_header": "X-Token"}
    host = await start_host(web.Application(middlewares=[ask]), **settings)
    page = await (await visit(host, "task_manager")).open()
    await submit_in(page)
    await expect(page.locator(".title .badge")).to_have_text("Succeeded")
