"""Run as process 1: looks for orphans all the while that a job is being started."""

from __future__ import annotations

import asyncio
import sys
import time

from aiohttp_jobs.worker.process.orphans import Orphans
from aiohttp_jobs.worker.process.process import Program
from aiohttp_jobs.worker.process.with_asyncio import AsyncioProcess


async def main() -> None:
    orphans = Orphans()
    orphans.open()
    program = Program(["/bin/sh", "-c", "exit 3"], {}, "/", sys.stderr.fileno())
    starting = asyncio.create_task(AsyncioProcess.start(program, orphans))
    while not starting.done():
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - it has ended before the loop knows its number
        if orphans.has_news():
            orphans.look_soon()
    print(await starting.result().wait(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
