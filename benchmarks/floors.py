"""The yardsticks: what the machine, asyncio and aiohttp cost without any job system."""

from __future__ import annotations

import asyncio
import multiprocessing
import time

from pebble import ProcessPool


async def spawn() -> None:
    """Run ``/bin/true`` and read what it prints."""
    process = await asyncio.create_subprocess_exec(
        "/bin/true", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    await process.communicate()
    assert process.returncode == 0


async def spawn_many(count: int, parallel: int) -> float:
    """Seconds for a bare loop of `spawn`, `parallel` at a time."""
    limit = asyncio.Semaphore(parallel)

    async def one() -> None:
        async with limit:
            await spawn()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    return time.perf_counter() - started


async def spawn_one_by_one(count: int) -> list[float]:
    """Seconds of each `spawn`, one after the other."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        await spawn()
        seconds.append(time.perf_counter() - started)
    return seconds


def trivial(source: str) -> int:
    exec(source, {})
    return 0


class Pool:
    """pebble's pool of killable processes, the kind of pool that a Runspace is."""

    def __init__(self, workers: int) -> None:
        self._pool = ProcessPool(workers, context=multiprocessing.get_context("forkserver"))
        self.run(workers)

    def run(self, count: int) -> float:
        """Seconds for `count` trivial tasks, all scheduled at once. Blocks."""
        started = time.perf_counter()
        for future in [self._pool.schedule(trivial, args=("pass",)) for _ in range(count)]:
            future.result()
        return time.perf_counter() - started

    def close(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
