"""A host in a process of its own: python -m tests.hosts.plain FOLDER PORT [EPOCH].

Prints its port, runs until it is told to end or killed. With EPOCH, the schedules' clock has run sixty
times as fast as the real one since then, so that each second is a minute to them.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from pathlib import Path

from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import JobsConfig

from ..conftest import login, logout
from .clock import hurry

_FREE_SECONDS = 10


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
    await listen(runner, port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(runner.addresses[0][1], flush=True)
    await ended.wait()
    await runner.cleanup()


async def listen(runner: web.AppRunner, port: int) -> None:
    """For a moment a program that a killed host was just starting may still have its socket."""
    async with asyncio.timeout(_FREE_SECONDS):
        while True:
            try:
                return await web.TCPSite(runner, "127.0.0.1", port).start()
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    folder, chosen_port, *epochs = sys.argv[1:]
    if epochs:
        hurry(float(epochs[0]))
    asyncio.run(main(Path(folder), int(chosen_port)))
