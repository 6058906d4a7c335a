"""The demo's pages, and the headers that every answer carries."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Caller

from .conftest import Demo, SignIn

Browser = Callable[[Demo], Caller]


@pytest.mark.parametrize(
    ("path", "content_type", "text"),
    [
        ("/", "text/html", "Run commands, keep their results"),
        ("/login", "text/html", "operator-demo"),
        ("/about", "text/html", "/apps/WebHostTaskManagement/api/v1/jobs/submit"),
        ("/static/style.css", "text/css", "prefers-color-scheme"),
        ("/static/jobs.js", "application/javascript", "/jobs/submit"),
        ("/static/icon.svg", "image/svg+xml", "<svg"),
    ],
)
async def test_each_page_answers(
    demo: Demo, browser: Browser, path: str, content_type: str, text: str
) -> None:
    answer = await browser(demo).request("GET", demo.address + path)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(content_type)
    assert text in answer.body


async def test_health_is_json_for_monitors(demo: Demo, browser: Browser) -> None:
    answer = await browser(demo).request("GET", f"{demo.address}/health")
    assert (answer.status, answer.body["status"]) == (200, "ok")


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", "/static/jobs.js", "/health"])
async def test_every_answer_forbids_what_the_pages_do_not_need(
    demo: Demo, browser: Browser, path: str
) -> None:
    headers = (await browser(demo).request("GET", demo.address + path)).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


async def test_no_page_has_script_or_style_inline(demo: Demo, sign_in: SignIn) -> None:
    caller = await sign_in(demo, "admin")
    for path in ("/", "/login", "/about", "/nowhere"):
        page = (await caller.request("GET", demo.address + path)).body
        assert "<script>" not in page
        assert "<style" not in page
        assert " style=" not in page
        assert " on" + "click=" not in page


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/logout", 405), ("GET", "/static/", 403), ("PUT", "/", 405)],
)
async def test_what_is_not_there_gets_a_page_that_says_so(
    demo: Demo, browser: Browser, method: str, path: str, status: int
) -> None:
    answer = await browser(demo).request(method, demo.address + path)
    assert answer.status == status
    assert "That did not work" in answer.body


async def test_errors_of_the_mounted_plugin_stay_json(demo: Demo, browser: Browser) -> None:
    answer = await browser(demo).request("GET", "/nowhere")
    assert answer.status in (401, 404)
    assert answer.body["success"] is False


@pytest.mark.parametrize(
    ("name", "modes"),
    [
        ("admin", {"MainLoop", "Runspace", "BackgroundJob"}),
        ("operator", {"Runspace", "BackgroundJob"}),
        ("viewer", set()),
    ],
)
async def test_the_home_page_offers_the_modes_that_the_user_may_use(
    demo: Demo, sign_in: SignIn, name: str, modes: set[str]
) -> None:
    caller = await sign_in(demo, name)
    page = (await caller.request("GET", f"{demo.address}/")).body
    offered = {mode for mode in ("MainLoop", "Runspace", "BackgroundJob") if f'value="{mode}"' in page}
    assert offered == modes
    assert ('id="submit"' in page) is bool(modes)
    assert '<script src="/static/jobs.js" defer></script>' in page


@pytest.mark.parametrize("mode", ["MainLoop", "Runspace", "BackgroundJob"])
async def test_admin_runs_a_job_in_each_mode(demo: Demo, sign_in: SignIn, mode: str) -> None:
    caller = await sign_in(demo, "admin")
    result = await caller.run("echo from $((40 + 2))", mode)
    assert (result["Success"], result["Output"], result["UserID"]) == (True, "from 42\n", "admin")


async def test_operator_may_not_use_the_main_loop(demo: Demo, sign_in: SignIn) -> None:
    caller = await sign_in(demo, "operator")
    body = {"jobName": "x", "command": "id", "executionMode": "MainLoop"}
    answer = await caller.request("POST", "/jobs/submit", json=body)
    assert answer.status == 403
    assert answer.body["error"] == "MainLoop execution mode requires 'debug' role"


async def test_viewer_may_not_submit_but_reads_results(demo: Demo, sign_in: SignIn) -> None:
    caller = await sign_in(demo, "viewer")
    body = {"jobName": "x", "command": "id", "executionMode": "BackgroundJob"}
    assert (await caller.request("POST", "/jobs/submit", json=body)).status == 403
    assert await caller.results() == []
