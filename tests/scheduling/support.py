"""A clock that tests drive, a durable place for submitted jobs, and schedules made in one line."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp_jobs.engine.embedded.fired_moments import FiredMomentFiles
from aiohttp_jobs.engine.embedded.records import ScheduleStore
from aiohttp_jobs.model.schedule import Schedule
from aiohttp_jobs.scheduling.scheduler import Scheduler
from aiohttp_jobs.system.storage_state import StorageState

JOB = {"jobName": "report", "command": "echo hello", "executionMode": "BackgroundJob"}
START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
SETTLE_SECONDS = 120.0


def utc(text: str) -> datetime:
    """``2026-03-29 02:30`` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_schedule(cron: str = "0 * * * *", **fields: Any) -> Schedule:
    """An enabled schedule of alice's, made at `START`."""
    return Schedule.model_validate(
        {
            "schedule_id": str(uuid4()),
            "user_id": "alice",
            "submitted_with": "session",
            "roles": ("debug",),
            "name": "hourly report",
            "job": dict(JOB),
            "cron": cron,
            "timezone": "UTC",
            "enabled": True,
            "overlap_policy": "skip",
            "misfire_policy": "skip",
            "misfire_grace_seconds": 60.0,
            "jitter_seconds": 0.0,
            "created_at": START,
            "updated_at": START,
            "updated_by": "alice",
            "active_since": START,
            **fields,
        }
    )


class JobFolder:
    """A `Submitter` that keeps each job as a file, so that several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refusal: Exception | None = None
        self.active: set[str] = set()
        self.cancelled: list[str] = []
        folder.mkdir(exist_ok=True)

    async def submit(self, schedule: Schedule, job_id: str, scheduled_for: datetime) -> None:
        if self.refusal is not None:
            raise self.refusal
        record = {
            "JobID": job_id,
            "ScheduleID": schedule.schedule_id,
            "ScheduledFor": scheduled_for.isoformat(),
            "ConcurrencyKey": schedule.submission().concurrency_key,
        }
        unfinished = self.folder / f".{uuid4()}"
        unfinished.write_text(json.dumps(record))
        try:
            os.link(unfinished, self.folder / f"{job_id}.json")
        except FileExistsError:
            (self.folder / f"{job_id}.twice").touch()
            raise

    async def is_known(self, job_id: str) -> bool:
        return (self.folder / f"{job_id}.json").exists()

    async def is_active(self, job_id: str) -> bool:
        return job_id in self.active

    async def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All jobs, in the order of their moments."""
        found = [json.loads(path.read_text()) for path in self.folder.glob("*.json")]
        return sorted(found, key=lambda record: record["ScheduledFor"])

    @property
    def submitted_twice(self) -> list[str]:
        """The jobs that were already there when they were submitted."""
        return [path.stem for path in self.folder.glob("*.twice")]

    @property
    def moments(self) -> list[str]:
        """The moments that were fired: ``05 08:30`` for the 5th of the month at 8:30 UTC."""
        return [
            datetime.fromisoformat(record["ScheduledFor"]).strftime("%d %H:%M") for record in self.records
        ]


class Time:
    """The time, as the test has it. Schedulers sleep on it until the test lets it pass."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now
        self._ticked = asyncio.Event()
        self._deadlines: dict[object, datetime] = {}

    def clock(self) -> datetime:
        return self.now

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        sleeper = object()
        self._deadlines[sleeper] = self.now + timedelta(seconds=seconds)
        try:
            while not event.is_set() and self.now < self._deadlines[sleeper]:
                waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._ticked.wait())]
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in waits:
                        each.cancel()
                        with suppress(asyncio.CancelledError):
                            await each
        finally:
            del self._deadlines[sleeper]

    def is_asleep(self, count: int) -> bool:
        """Whether `count` sleepers, and no more, sleep on beyond now."""
        return len(self._deadlines) == count and min(self._deadlines.values()) > self.now

    @property
    def next_waking(self) -> datetime:
        return min(self._deadlines.values())

    def set(self, now: datetime) -> None:
        """Set the clock, forwards or backwards. Sleep is by another clock, and goes on."""
        step = now - self.now
        self.now = now
        self._deadlines = {sleeper: deadline + step for sleeper, deadline in self._deadlines.items()}

    def tick(self, now: datetime) -> None:
        self.now = now
        self._ticked.set()
        self._ticked = asyncio.Event()


class Bench:
    """Schedulers on one data folder, and the time for them."""

    def __init__(self, base: Path, now: datetime = START) -> None:
        self.base = base
        self.time = Time(now)
        self.jobs = JobFolder(base / "jobs")
        self.store = ScheduleStore(base)
        self.store.open()
        self.schedulers: list[Scheduler] = []

    def add(self, *args: Any, **fields: Any) -> str:
        """Keep a schedule (see `make_schedule`); its id."""
        schedule = make_schedule(*args, **fields)
        self.store.add(schedule, 1000)
        return schedule.schedule_id

    def change(self, schedule_id: str, **fields: Any) -> None:
        self.store.change(schedule_id, lambda schedule: schedule.model_copy(update=fields))

    async def start(self, jobs: JobFolder | None = None) -> Scheduler:
        """One more scheduler, as another process would have it; it has looked once."""
        store = ScheduleStore(self.base)
        store.open()
        scheduler = Scheduler(
            store,
            FiredMomentFiles(self.base),
            jobs or self.jobs,
            storage=StorageState(self.base),
            interval=3600.0,
            clock=self.time.clock,
            wait=self.time.wait,
        )
        await scheduler.open()
        self.schedulers.append(scheduler)
        await self.settle()
        return scheduler

    async def stop(self) -> None:
        for scheduler in self.schedulers:
            await scheduler.close()
        self.schedulers.clear()

    async def settle(self) -> None:
        """Until every scheduler has done all there is to do now, and sleeps."""

        def is_settled() -> bool:
            idle = all(scheduler.is_idle for scheduler in self.schedulers)
            return idle and self.time.is_asleep(len(self.schedulers))

        await until(is_settled)

    async def until(self, moment: str | datetime) -> None:
        """Let time pass, from one waking to the next."""
        end = utc(moment) if isinstance(moment, str) else moment
        while self.time.now < end:
            self.time.tick(min(end, self.time.next_waking))
            await self.settle()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "still not so"
        await asyncio.sleep(0.001)
