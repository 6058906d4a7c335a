"""The metrics' token: it opens one address, is guessed no faster than a key, and no API key passes for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.http.auth.middleware import is_public

from ..conftest import Host
from ..routes import walk

pytest.importorskip("prometheus_client")
StartHost = Callable[..., Awaitable[Host]]
TOKEN = "tok-0123456789abcdef"


async def test_it_opens_the_metrics_and_nothing_else(start_host: StartHost) -> None:
    host = await start_host(metrics_enabled=True, metrics_token=TOKEN, max_wrong_keys=1000)
    caller = host.bearer(TOKEN)
    opened = []
    for route in walk(host):
        if not is_public(route.handler):
            address = host.address + route.address("00000000-0000-4000-8000-000000000000")
            if (await caller.request(route.method, address)).status != 401:
                opened.append(route.path)
    assert opened == [f"{host.config.prefix}/metrics"]


async def test_guesses_are_counted_as_those_of_keys_are_and_the_right_one_still_works(
    start_host: StartHost,
) -> None:
    host = await start_host(metrics_enabled=True, metrics_token=TOKEN, max_wrong_keys=3)
    url = f"{host.address}{host.config.prefix}/metrics"
    statuses = [(await host.bearer(f"{TOKEN}{n}").request("GET", url)).status for n in range(6)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert (await host.bearer(TOKEN).request("GET", url)).status == 200
    for empty in ("", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN):
        stranger = host.stranger()
        async with stranger.session.get(url, headers={"Authorization": empty}) as answer:
            assert answer.status in (401, 429), empty


def test_it_is_not_shown_with_the_settings() -> None:
    config = JobsConfig(data_dir="data", metrics_token=TOKEN)  # type: ignore[arg-type]
    assert TOKEN not in repr(config)
