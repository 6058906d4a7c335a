"""Functions of a host that have others run, and wait for them."""

from __future__ import annotations

import asyncio

import aiohttp_jobs
from aiohttp_jobs import Functions, JobContext

jobs = Functions()


@jobs.function(mode="BackgroundJob")
def double(number: int) -> int:
    return 2 * number


@jobs.function(mode="MainLoop", roles={"authenticated"})
async def add_up(job: JobContext, numbers: list[int]) -> int:
    """The sum of all numbers, each doubled by a job of its own; lists of more than one in halves."""
    if len(numbers) > 1:
        half = len(numbers) // 2
        parts = [add_up.bind(part) for part in (numbers[:half], numbers[half:])]
        handles = [await aiohttp_jobs.submit(job.app, part, user=job.user) for part in parts]
        return sum(await asyncio.gather(*handles))
    return await (await aiohttp_jobs.submit(job.app, double.bind(numbers[0]), user=job.user))
