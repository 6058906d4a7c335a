"""Proxies: the environment's are used for other hosts, never for this one, and not with ``--no-proxy``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web

from aiohttp_jobs.cli.proxy import proxy_for

from ..conftest import Host
from .command import access_to, run

ELSEWHERE = "http://jobs.example.invalid"


@asynccontextmanager
async def proxy_to(host: Host, seen: list[str]) -> AsyncIterator[str]:
    """The address of an HTTP proxy through which everything leads to `host`."""

    async def forward(request: web.BaseRequest) -> web.Response:
        seen.append(str(request.url))
        headers = {"Authorization": request.headers["Authorization"], "Content-Type": "application/json"}
        async with (
            ClientSession() as session,
            session.request(
                request.method,
                f"{host.address}{request.rel_url.raw_path_qs}",
                headers=headers,
                data=await request.read(),
            ) as answer,
        ):
            return web.Response(
                body=await answer.read(), status=answer.status, content_type=answer.content_type
            )

    runner = web.ServerRunner(web.Server(forward))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_the_environments_proxy_is_used_unless_it_is_not_wanted(host: Host) -> None:
    seen: list[str] = []
    env = access_to(host, "debug")
    away = {**env, "AIOHTTP_JOBS_URL": ELSEWHERE + host.config.prefix}
    async with proxy_to(host, seen) as proxy:
        assert (await run("jobs", "--json", env={**away, "http_proxy": proxy}))[0] == 0
        assert [url.startswith(ELSEWHERE) for url in seen] == [True]
        assert (await run("jobs", "--json", env={**away, "ALL_PROXY": proxy.removeprefix("http://")}))[0] == 0
        assert len(seen) == 2
        for arguments, more in (
            (("jobs", "--no-proxy"), {}),
            (("notices", "--no-proxy"), {}),
            (("schedule", "list", "--no-proxy"), {}),
            (("jobs",), {"no_proxy": "example.invalid"}),
        ):
            code, _, err = await run(*arguments, env={**away, "http_proxy": proxy, **more})
            assert (code, "cannot be reached" in err) == (1, True)
        assert (await run("jobs", env={**env, "http_proxy": proxy, "HTTPS_PROXY": proxy}))[0] == 0
        assert len(seen) == 2
    code, _, err = await run("jobs", env={**away, "http_proxy": "socks5://127.0.0.1:1"})
    assert (code, "is not an HTTP proxy" in err) == (1, True)


@pytest.mark.parametrize(
    "host", ["localhost", "api.localhost", "127.0.0.1", "127.8.9.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
def test_loopback_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    assert proxy_for(f"http://{host}:8080/apps") is None
    assert proxy_for("http://jobs.example:8080/apps") == "http://proxy.example:3128"
