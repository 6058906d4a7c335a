"""An engine in a process of its own, for tests that kill and stop it.

``python -m tests.engine.postgres.host DSN FOLDER STALL [POINT]`` runs jobs, and says so, until its input
ends, or until it kills itself at a point of a job's end: ``before`` its first verdict, or just ``after`` it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.base import ClaimedJob
from aiohttp_jobs.notify.outbox import Outbox
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
    dsn: str, folder: Path, stall: float, stack: AsyncExitStack, *, places: int | None = 4, **more: Any
) -> PostgresEngine:
    """An engine that runs so many background jobs; it counts as dead when not heard of for `stall` s."""
    from aiohttp_jobs.engine.postgres.engine import PostgresEngine  # noqa: PLC0415 - needs psycopg

    settings = {**QUICK, "max_parallel_background": places or 1, "runs_jobs": places is not None, **more}
    config = JobsConfig(
        data_dir=folder, engine="postgres", dsn=dsn, secret=SECRET, stall_seconds=stall, **settings
    )
    modes, closing = ExecutionModes(config, lambda: None), Closing()
    storage, vault = StorageState(config.base_dir), Vault(config.keys)
    engine = PostgresEngine(config, modes, storage, vault)
    outbox = Outbox(engine.records.notices, engine.history, storage=storage)
    stack.callback(outbox.close)
    engine.connect(_allow, outbox)
    await engine.open(stack, closing.close)
    await modes.open(stack, closing, engine.instance_id)
    engine.start(stack, closing.close)
    engine.follow((), stack, closing.close)
    return engine


def die_at(point: str) -> None:
    """Have this process killed by itself ``before`` the statement of its first verdict, or ``after`` it."""
    from aiohttp_jobs.engine.postgres.verdicts import Verdicts  # noqa: PLC0415 - needs psycopg

    give = Verdicts.give

    async def give_and_die(*args: Any, **more: Any) -> None:
        if point == "after":
            await give(*args, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(Verdicts, "give", give_and_die)  # noqa: B010 - mypy has it that methods are not replaced


async def main(dsn: str, folder: str, stall: str, point: str = "never") -> None:
    if point != "never":
        die_at(point)
    async with AsyncExitStack() as stack:
        await started(dsn, Path(folder), float(stall), stack)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
