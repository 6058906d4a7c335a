"""SAQ on Redis."""

from __future__ import annotations

import contextlib
from typing import Any

from saq import Queue

from .driver import KEEP_SECONDS, PARALLEL, REDIS, System, at_once, drive, run_command

_LISTEN_SECONDS = 0.01
queue = Queue.from_url(f"{REDIS}/0", name="bench")


async def command(_context: Any) -> str:
    return await run_command()


async def python(_context: Any) -> bool:
    return True


settings = {"queue": queue, "functions": [command, python], "concurrency": PARALLEL}


class Saq(System):
    packages = ("saq", "redis")
    durability = "Redis, appendonly, fsync every second"
    worker = ("-m", "saq", "benchmarks.peers.saq.settings")

    async def open(self) -> None:
        await queue.connect()

    async def enqueue(self, kind: str, count: int) -> None:
        await at_once(count, lambda: queue.enqueue(kind, ttl=KEEP_SECONDS))

    async def are_done(self, jobs: None) -> bool:
        return not await queue.count("incomplete")

    async def one(self, kind: str) -> None:
        job = await queue.enqueue(kind, ttl=KEEP_SECONDS)
        # Not `apply`, which looks every half second; and with a limit, for it may end before we listen.
        while not job.completed:
            with contextlib.suppress(TimeoutError):
                await job.refresh(until_complete=_LISTEN_SECONDS)


if __name__ == "__main__":
    drive(Saq())
