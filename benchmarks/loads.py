"""Measuring while something else goes on: the host's answers, its memory, and load from outside."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from .ours import HostProcess

_PING_SECONDS = 0.002
_MEMORY_SECONDS = 0.02


class Watch:
    """What was seen of a host during a block: seconds of each ping, and bytes of memory."""

    def __init__(self, memory: int) -> None:
        self.pings: list[float] = []
        self.before = memory
        self.peak = memory

    @property
    def growth(self) -> int:
        return self.peak - self.before


@asynccontextmanager
async def watching(host: HostProcess) -> AsyncIterator[Watch]:
    """Ask the host's trivial route again and again, and look at its memory, during the block."""
    watch = Watch(host.rss())
    [connection] = await host.connections(1)

    async def ping() -> None:
        while True:
            watch.pings.append(await host.ping(connection))
            await asyncio.sleep(_PING_SECONDS)

    async def weigh() -> None:
        while True:
            watch.peak = max(watch.peak, host.rss())
            await asyncio.sleep(_MEMORY_SECONDS)

    tasks = [asyncio.create_task(ping()), asyncio.create_task(weigh())]
    try:
        yield watch
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await connection.close()
        if not watch.pings:  # over before one was answered
            watch.pings.append(await host.ping(host.connection))


@contextmanager
def outside(programs: Sequence[str], folder: Path) -> Iterator[None]:
    """Python programs that run beside the host during the block, each printing to a file."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, program in enumerate(programs):
            with (folder / f"outside-{number}").open("wb") as output:
                # In sessions of their own as jobs are: the kernel shares its time among sessions.
                running.append(
                    subprocess.Popen([sys.executable, "-c", program], stdout=output, start_new_session=True)
                )
        yield
    finally:
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()


def read_pipe(arguments: Sequence[str]) -> float:
    """Seconds for a program to print into a pipe that is read and thrown away. Blocks."""
    buffer = bytearray(1 << 20)
    started = time.perf_counter()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        while process.stdout.readinto(buffer):  # type: ignore[attr-defined]
            pass
    return time.perf_counter() - started


async def cancel_all(host: HostProcess, jobs: Sequence[str], api: str) -> None:
    """Cancel jobs, and wait until nothing runs."""
    for job in jobs:
        await host.connection.ask("POST", f"{api}/jobs/{job}/cancel")
    async with asyncio.timeout(60):
        while (await queue(host, api))["running"]:
            await asyncio.sleep(0.02)


async def queue(host: HostProcess, api: str) -> dict[str, Any]:
    return dict((await host.connection.json("GET", api + "/queue"))["queue"])


async def until_running(host: HostProcess, api: str, count: int) -> None:
    """Wait until `count` jobs run."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            while (await queue(host, api))["running"] < count:
                await asyncio.sleep(0.02)
            return
    raise RuntimeError(f"{count} jobs should run at once, and did not within a minute")
