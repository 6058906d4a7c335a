"""The functions that are measured, in a module that a worker can import. Running them is left to others."""

from __future__ import annotations

from aiohttp_jobs import Functions

jobs = Functions()


@jobs.function(mode="Runspace")
def nothing() -> None: ...


@jobs.function(mode="MainLoop")
async def nothing_on_the_loop() -> None: ...
