"""A host in a process of its own: python -m tests.hosts.plain FOLDER PORT [EPOCH].

Prints its port, runs until it is told to end or killed. With EPOCH, the schedules' clock has run sixty
times as fast as the real one since then, so that each second is a minute to them.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import JobsConfig
from aiohttp_jobs import app as plugin

from ..conftest import login, logout

SPEED = 60


def hurry(epoch: float) -> None:
    """Give the schedules' parts a clock of their own."""

    def clock() -> datetime:
        return datetime.fromtimestamp(epoch + (time.time() - epoch) * SPEED, UTC)

    async def wait(event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds / SPEED)

    plugin.Scheduler = partial(plugin.Scheduler, clock=clock, wait=wait)  # type: ignore[misc,assignment]
    plugin.ScheduleService = partial(plugin.ScheduleService, clock=clock)  # type: ignore[misc,assignment]


async def main(data_dir: Path, port: int) -> None:
    app = web.Application()
    config = JobsConfig(
        data_dir=data_dir, poll_interval=0.2, kill_grace=0.5, shutdown_grace=1.5,
        max_parallel_background=3, max_parallel_runspace=2,
    )  # fmt: skip
    aiohttp_jobs.setup(app, config)
    app.router.add_post("/login", login)
    app.router.add_post("/logout", logout)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(runner.addresses[0][1], flush=True)
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    folder, chosen_port, *epochs = sys.argv[1:]
    if epochs:
        hurry(float(epochs[0]))
    asyncio.run(main(Path(folder), int(chosen_port)))
