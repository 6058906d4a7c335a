"""The door for pages of other origins: what a page that is not trusted would want from a user's browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from ..conftest import Host

StartHost = Callable[..., Awaitable[Host]]
TRUSTED = "https://app.example.org"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        f"{TRUSTED}.evil.example",
        "http://app.example.org",
        f"{TRUSTED}:8443",
        "*",
    ],
)
async def test_a_page_that_is_not_trusted_reads_no_answer_and_sends_no_request(
    start_host: StartHost, origin: str
) -> None:
    host = await start_host(trusted_origins=[TRUSTED])
    alice = await host.signed_in("debug")
    for headers in ({"Origin": origin}, {"Origin": origin, **PREFLIGHT}):
        for method in ("GET", "OPTIONS", "POST"):
            answer = await alice.request(method, "/jobs/submit", headers=headers)
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]
            assert answer.status in (403, 405)


async def test_a_question_like_a_browsers_gets_nobody_past_who_they_are(start_host: StartHost) -> None:
    host = await start_host(trusted_origins=[TRUSTED])
    nobody = host.stranger()
    headers = {"Origin": TRUSTED, **PREFLIGHT}
    for method, path in (
        ("GET", "/jobs"),
        ("POST", "/jobs/submit"),
        ("DELETE", "/jobs/results"),
        ("OPTIONS", "/no"),
    ):
        assert (await nobody.request(method, path, headers=headers)).status == 401
    asked = await nobody.request("OPTIONS", "/jobs", headers=headers)
    assert (asked.status, asked.body) == (204, "")


async def test_a_cache_gives_nobody_what_was_meant_for_another_origin(start_host: StartHost) -> None:
    host = await start_host(trusted_origins=[TRUSTED])
    alice = host.caller("debug")
    answer = await alice.request("GET", "/jobs", headers={"Origin": TRUSTED})
    assert "Origin" in answer.headers["Vary"]


async def test_the_hosts_own_routes_are_shared_with_nobody(start_host: StartHost) -> None:
    async def own(_request: web.Request) -> web.Response:
        return web.Response(text="the host's")

    app = web.Application()
    app.router.add_get("/own", own)
    host = await start_host(app, trusted_origins=[TRUSTED])
    answer = await host.stranger().request("GET", f"{host.address}/own", headers={"Origin": TRUSTED})
    assert "Access-Control-Allow-Origin" not in answer.headers
