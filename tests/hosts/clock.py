"""A clock of their own for the schedules of a host that runs for a test."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from aiohttp_jobs.assembly import plugin

SPEED = 60


def hurry(epoch: float) -> None:
    """Make the schedules' clock run sixty times as fast as the real one since `epoch`."""

    def clock() -> datetime:
        return datetime.fromtimestamp(epoch + (time.time() - epoch) * SPEED, UTC)

    async def wait(event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds / SPEED)

    plugin.Scheduler = partial(plugin.Scheduler, clock=clock, wait=wait)  # type: ignore[misc,assignment]
    plugin.ScheduleService = partial(plugin.ScheduleService, clock=clock)  # type: ignore[misc,assignment]
