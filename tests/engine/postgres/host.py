"""An engine in a process of its own, for tests that kill and stop it.

``python -m tests.engine.postgres.host DSN FOLDER STALL`` runs jobs, and says so, until its input ends.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.base import ClaimedJob
from aiohttp_jobs.system.closing import Closing
from aiohttp_jobs.system.secret_box import Vault
from aiohttp_jobs.system.storage_state import StorageState
from aiohttp_jobs.worker.modes import ExecutionModes

from ...conftest import QUICK
from .support import SECRET

if TYPE_CHECKING:
    from aiohttp_jobs.engine.postgres.engine import PostgresEngine


async def _allow(_job: ClaimedJob) -> None:
    """Everybody may run everything."""


async def started(
    dsn: str, folder: Path, stall: float, stack: AsyncExitStack, *, places: int | None = 4
) -> PostgresEngine:
    """An engine that runs so many background jobs; it counts as dead when not heard of for `stall` s."""
    from aiohttp_jobs.engine.postgres.engine import PostgresEngine  # noqa: PLC0415 - needs psycopg

    settings = {**QUICK, "max_parallel_background": places or 1, "runs_jobs": places is not None}
    config = JobsConfig(
        data_dir=folder, engine="postgres", dsn=dsn, secret=SECRET, stall_seconds=stall, **settings
    )
    modes, closing = ExecutionModes(config, lambda: None), Closing()
    storage, vault = StorageState(config.base_dir), Vault(config.keys)
    engine = PostgresEngine(config, modes, storage, vault)
    engine.connect(_allow, None)
    await engine.open(stack, closing.close)
    await modes.open(stack, closing, engine.instance_id)
    engine.start(stack, closing.close)
    engine.follow((), stack, closing.close)
    return engine


async def main(dsn: str, folder: str, stall: str) -> None:
    async with AsyncExitStack() as stack:
        await started(dsn, Path(folder), float(stall), stack)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
