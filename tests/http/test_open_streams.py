"""A stream ends with the rights of whoever opened it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientPayloadError, ClientTimeout

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.http.as_is import EventStream

from ..conftest import Host
from ..gate import until_answered

SECONDS = 120.0


@pytest.mark.parametrize("path", ["/jobs/{job_id}/events", "/jobs/feed"])
async def test_a_stream_ends_when_the_key_that_opened_it_is_disabled(
    start_host: Callable[..., Awaitable[Host]], path: str
) -> None:
    host = await start_host(heartbeat_interval=0.2)
    owner, reader = host.caller("task_manager"), host.caller("task_manager")
    keys = ApiKeys.in_data_dir(host.config.data_dir)
    job_id = await owner.submit("while :; do echo more; sleep 0.1; done")
    url = reader.base + path.format(job_id=job_id)
    async with reader.session.get(url, timeout=ClientTimeout(total=SECONDS)) as stream:
        assert b"event" in await stream.content.readany()
        keys.set_enabled(keys.all()[-1].key_id, False)
        async with asyncio.timeout(SECONDS):
            while await stream.content.readany():
                pass
    assert (await reader.request("GET", f"/jobs/{job_id}")).status == 401
    assert (await owner.request("GET", f"/jobs/{job_id}")).body["job"]["Status"] == "Running"
    await owner.request("POST", f"/jobs/{job_id}/cancel")


async def test_it_goes_on_for_as_long_as_they_last(start_host: Callable[..., Awaitable[Host]]) -> None:
    host = await start_host(heartbeat_interval=0.1)
    reader = host.caller("task_manager")
    job_id = await reader.submit("for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done")
    async with reader.session.get(f"{reader.base}/jobs/{job_id}/events") as stream:
        text = (await stream.read()).decode()
    assert "event: end" in text
    assert '"Text":"6\\n"' in text


@pytest.mark.parametrize("path", ["/jobs/{job_id}/events", "/jobs/feed"])
async def test_a_stream_whose_reader_has_left_is_no_longer_open(
    start_host: Callable[..., Awaitable[Host]], path: str
) -> None:
    """Long before there is anything to write, by which the host would notice."""
    host = await start_host(heartbeat_interval=600, max_streams_per_user=1)
    reader = host.caller("task_manager")
    job_id = await reader.submit("sleep 600")
    url = reader.base + path.format(job_id=job_id)

    async def is_open_for_another() -> bool:
        async with reader.session.get(url) as stream:
            assert stream.status in (200, 429)
            await stream.content.readany()
            return stream.status == 200

    assert await is_open_for_another()
    await until_answered(is_open_for_another, "room for another stream")


async def test_a_stream_whose_reader_takes_nothing_is_given_up(
    start_host: Callable[..., Awaitable[Host]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many events it took before."""
    monkeypatch.setattr(EventStream, "DEFAULT_SEND_TIMEOUT", 0.5)
    host = await start_host(heartbeat_interval=600, max_streams_per_user=1, max_log_bytes=64 * 1024 * 1024)
    reader = host.caller("task_manager")
    job_id = (await reader.run("head -c 60000000 /dev/zero | tr '\\0' x"))["JobID"]
    url = f"{reader.base}/jobs/{job_id}/events"

    async def is_open_for_another() -> bool:
        async with reader.session.get(url) as stream:
            return stream.status == 200

    async with reader.session.get(url) as stuck:
        for _ in range(100):
            assert await stuck.content.readany()
        await until_answered(is_open_for_another, "room for another stream")
        with pytest.raises(ClientPayloadError):
            await stuck.read()
