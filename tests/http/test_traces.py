"""The trace of a request: kept with its job, shown, and passed on to the command and to webhooks."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from ..cli.command import access_to
from ..cli.command import run as command
from ..conftest import Caller, Host
from ..gate import until_answered
from ..powershell import needs_pwsh

StartHost = Callable[..., Awaitable[Host]]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
STATE = "vendor=opaque"
SHOW = {
    "shell": 'echo "$TRACEPARENT $TRACESTATE"',
    "python": "import os; print(os.environ.get('TRACEPARENT', ''), os.environ.get('TRACESTATE', ''))",
    "powershell": '"$($env:TRACEPARENT) $($env:TRACESTATE)"',
}


@pytest.fixture
async def host(start_host: StartHost) -> Host:
    """Without spans, which would be parents of their own."""
    return await start_host(tracing_enabled=False)


async def run(caller: Caller, command: str, mode: str, interpreter: str, **headers: str) -> dict[str, Any]:
    body = {"jobName": "traced", "command": command, "executionMode": mode, "interpreter": interpreter}
    answer = await caller.request("POST", "/jobs/submit?wait=60", json=body, headers=headers)
    assert answer.status == 200, answer.body
    result: dict[str, Any] = answer.body["result"]
    return result


@pytest.mark.parametrize(
    ("mode", "interpreter", "show"),
    [
        ("BackgroundJob", "shell", SHOW["shell"]),
        ("Runspace", "shell", SHOW["shell"]),
        ("MainLoop", "shell", SHOW["shell"]),
        ("BackgroundJob", "python", SHOW["python"]),
        ("Runspace", "python", SHOW["python"]),
        ("MainLoop", "python", SHOW["python"].replace("os.environ", "environment")),
        # A background job's process is told of its job as a runspace's is, and takes no other.
        pytest.param("Runspace", "powershell", SHOW["powershell"], marks=needs_pwsh),
        pytest.param("MainLoop", "powershell", SHOW["powershell"], marks=needs_pwsh),
    ],
)
async def test_a_command_finds_it_in_its_environment_and_the_next_one_does_not(
    host: Host, mode: str, interpreter: str, show: str
) -> None:
    caller = host.caller("debug")
    traced = await run(caller, show, mode, interpreter, traceparent=PARENT, tracestate=STATE)
    assert traced["Output"].strip() == f"{PARENT} {STATE}"
    assert traced["Traceparent"] == PARENT
    plain = await run(caller, show, mode, interpreter)
    assert plain["Output"].strip() == ""


async def test_it_is_shown_and_what_is_no_trace_is_ignored(host: Host) -> None:
    caller = host.caller("debug")
    for sent, kept in ((PARENT, PARENT), (f"{PARENT}-", None), ("00-xyz", None), ("", None)):
        result = await run(
            caller, SHOW["shell"], "BackgroundJob", "shell", traceparent=sent, tracestate=STATE
        )
        assert result["Traceparent"] == kept
        assert result["Output"].strip() == (f"{kept} {STATE}" if kept else "")
    job_id = await caller.submit("true", delaySeconds=1000)
    assert (await caller.request("GET", f"/jobs/{job_id}")).body["job"]["Traceparent"] is None


async def test_the_command_line_says_which_trace_it_is_in(host: Host) -> None:
    for told, kept in ((PARENT, PARENT), (f"{PARENT}\nX: y", "")):
        env = {**access_to(host, "debug"), "TRACEPARENT": told}
        code, shown, _ = await command("submit", "--wait", "echo $TRACEPARENT", env=env)
        assert (code, shown.strip()) == (0, kept)


async def test_a_webhook_gets_it_as_a_header(start_host: StartHost, aiohttp_server: Any) -> None:
    received: list[tuple[str | None, str | None]] = []

    async def hook(request: web.Request) -> web.Response:
        received.append((request.headers.get("traceparent"), request.headers.get("tracestate")))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    server = await aiohttp_server(app)
    host = await start_host(tracing_enabled=False, webhook_allowed_hosts={"127.0.0.1"})
    caller = host.caller("debug")
    rule = {"channel": "webhook", "url": str(server.make_url("/hook")), "on": "always"}
    body = {"jobName": "t", "command": "true", "executionMode": "BackgroundJob", "notify": [rule]}
    headers = {"traceparent": PARENT, "tracestate": STATE}
    answer = await caller.request("POST", "/jobs/submit?wait=60", json=body, headers=headers)
    assert answer.status == 200, answer.body

    async def has_come() -> bool:
        return bool(received)

    await until_answered(has_come, "the webhook")
    assert received == [(PARENT, STATE)]
    assert "traceparent" not in json.dumps((await caller.request("GET", "/notices")).body).lower()
