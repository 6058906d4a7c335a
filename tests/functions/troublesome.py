"""Functions of a host that come to no good end."""

from __future__ import annotations

import asyncio

from aiohttp_jobs import Functions

jobs = Functions()


@jobs.function(mode=["BackgroundJob", "MainLoop"])
async def fail(message: str) -> None:
    raise ValueError(message)


@jobs.function(mode=["MainLoop", "Runspace"])
async def wait_for_ever() -> None:
    await asyncio.Event().wait()
