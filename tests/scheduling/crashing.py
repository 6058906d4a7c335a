"""A scheduler in a process of its own, for tests that kill it: python -m tests.scheduling.crashing FOLDER ...

``at POINT MOMENT`` dies at the named point of firing that moment; ``run EPOCH SPEED`` goes on, in a
time that started at `START` when the real one was EPOCH and runs SPEED times as fast, until it is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp_jobs.engine.embedded.fired_moments import FiredMomentFiles
from aiohttp_jobs.engine.embedded.records import ScheduleStore
from aiohttp_jobs.model.schedule import Schedule
from aiohttp_jobs.scheduling.scheduler import MAX_INTERVAL, Scheduler
from aiohttp_jobs.system.storage_state import StorageState

from .support import START, JobFolder


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingFolder(JobFolder):
    """Jobs are submitted to it, and then, or before that, the process dies."""

    def __init__(self, folder: Path, point: str) -> None:
        super().__init__(folder)
        self.point = point

    async def submit(self, schedule: Schedule, job_id: str, scheduled_for: datetime) -> None:
        if self.point == "before_submitting":
            die()
        await super().submit(schedule, job_id, scheduled_for)
        if self.point == "after_submitting":
            die()


class DyingClaims(FiredMomentFiles):
    """The process dies when the schedule's record has been written, and the claim was not finished."""

    def finish(self, claim: Any) -> None:
        die()


async def die_at(base: Path, point: str, moment: str) -> None:
    now = datetime.fromisoformat(moment)
    if point == "before_claiming":
        os.link = die  # type: ignore[assignment]
    claims = DyingClaims(base) if point == "before_finishing" else FiredMomentFiles(base)
    store = ScheduleStore(base)
    store.open()
    scheduler = Scheduler(
        store, claims, DyingFolder(base / "jobs", point), storage=StorageState(base), clock=lambda: now
    )
    await scheduler.open()
    await asyncio.sleep(60)


async def run(base: Path, epoch: str, speed: str) -> None:
    def clock() -> datetime:
        return START + timedelta(seconds=(time.time() - float(epoch)) * float(speed))

    async def wait(event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds / float(speed))

    store = ScheduleStore(base)
    store.open()
    jobs = JobFolder(base / "jobs")
    scheduler = Scheduler(
        store,
        FiredMomentFiles(base),
        jobs,
        storage=StorageState(base),
        interval=MAX_INTERVAL,
        clock=clock,
        wait=wait,
    )
    await scheduler.open()
    await asyncio.sleep(60)


if __name__ == "__main__":
    folder, action, *arguments = sys.argv[1:]
    asyncio.run({"at": die_at, "run": run}[action](Path(folder), *arguments))
