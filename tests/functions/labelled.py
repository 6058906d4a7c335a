"""A function that asks for workers with a label."""

from __future__ import annotations

from aiohttp_jobs import Functions

jobs = Functions()


@jobs.function(mode=["BackgroundJob", "MainLoop"], labels=["gpu"])
async def render() -> None: ...
