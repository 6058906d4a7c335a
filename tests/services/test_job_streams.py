"""What a watcher is told while nothing happens, and while much does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

from aiohttp_jobs.services.streams.job import CURRENT, JobStream, StreamEvent
from aiohttp_jobs.services.streams.lookup import JobLookup

from ..gate import PATIENCE_SECONDS
from .fakes import JobsInMemory

HOUR = 3600.0


class Changes(JobsInMemory):
    """An engine whose test says when something may have changed."""

    last: asyncio.Future[None] | None = None

    def next_change(self, job_id: str) -> asyncio.Future[None]:
        self.last = super().next_change(job_id)
        return self.last


def stream_of(engine: JobsInMemory, heartbeat: float) -> AsyncGenerator[StreamEvent, None]:
    stream = JobStream(JobLookup(engine, engine), engine, engine.running("alice"), CURRENT)
    return cast("AsyncGenerator[StreamEvent, None]", stream.events(heartbeat, lambda: engine.is_closing))


async def names(events: AsyncGenerator[StreamEvent, None], count: int) -> list[str]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [(await anext(events)).name for _ in range(count)]


async def test_who_hears_nothing_is_told_so_again_and_again() -> None:
    events = stream_of(JobsInMemory(), heartbeat=0.02)
    assert await names(events, 5) == ["status", "output", "heartbeat", "heartbeat", "heartbeat"]
    await events.aclose()


async def test_changes_that_are_no_news_do_not_put_off_the_heartbeat() -> None:
    engine = Changes()
    events = stream_of(engine, heartbeat=0.3)
    assert await names(events, 2) == ["status", "output"]
    heartbeat = asyncio.create_task(anext(events))  # type: ignore[arg-type] - it is a coroutine
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not heartbeat.done():
            change = engine.last
            await asyncio.sleep(0.01)
            if change is not None and not change.done():
                change.set_result(None)
    assert (await heartbeat).name == "heartbeat"
    await events.aclose()


async def test_a_stream_that_is_left_waits_no_more() -> None:
    engine = Changes()
    events = stream_of(engine, heartbeat=HOUR)
    assert await names(events, 2) == ["status", "output"]
    waiting = asyncio.create_task(anext(events))  # type: ignore[arg-type] - it is a coroutine
    await asyncio.sleep(0.01)
    change = engine.last
    assert change is not None
    waiting.cancel()
    await asyncio.wait([waiting])
    await events.aclose()
    assert change.cancelled()
