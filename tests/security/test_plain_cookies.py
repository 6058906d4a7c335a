"""A session cookie that a browser would also send unencrypted, of a site served over HTTPS, is mentioned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp_session
import pytest
from aiohttp import web

from ..conftest import Host

StartHost = Callable[..., Awaitable[Host]]
SENTENCE = "Set session_secure=True"


async def sign_in_and_look(host: Host, headers: dict[str, str]) -> None:
    caller = host.stranger()
    for _ in range(2):
        answer = await caller.request(
            "POST", f"{host.address}/login", json={"user_id": "alice", "roles": ["debug"]}, headers=headers
        )
        assert answer.status == 200
        assert (await caller.request("GET", "/me", headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Proto": "HTTPS, http"},
        {"Forwarded": "for=192.0.2.1;proto=https"},
    ],
)
async def test_a_cookie_that_can_be_read_on_the_way_is_mentioned_once(
    start_host: StartHost, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    host = await start_host()
    await sign_in_and_look(host, {})
    assert SENTENCE not in caplog.text
    await sign_in_and_look(host, headers)
    assert caplog.text.count(SENTENCE) == 1


async def test_a_cookie_of_the_hosts_own_or_a_secure_one_is_not(
    start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    app = web.Application()
    aiohttp_session.setup(app, aiohttp_session.SimpleCookieStorage())
    await sign_in_and_look(await start_host(app), {"X-Forwarded-Proto": "https"})
    host = await start_host(session_secure=True)
    caller = host.caller("debug")
    assert (await caller.request("GET", "/me", headers={"X-Forwarded-Proto": "https"})).status == 200
    assert SENTENCE not in caplog.text
