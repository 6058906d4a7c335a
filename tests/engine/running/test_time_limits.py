"""How long jobs may run: each its own time, by one timer for all."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp_jobs.engine.base import JobSummary
from aiohttp_jobs.engine.running.active import ActiveJob
from aiohttp_jobs.engine.running.lifecycle import TimeLimits
from aiohttp_jobs.model.job import ExecutionMode, JobStatus, utc_now

HOUR = 3600.0


def job(name: str) -> ActiveJob[Any]:
    mode = ExecutionMode.RUNSPACE
    return ActiveJob(
        JobSummary(job_id=name, user_id="alice", job_name=name, mode=mode, submitted_at=utc_now())
    )


async def stopped(active: ActiveJob[Any]) -> None:
    async with asyncio.timeout(60):
        while active.reason is None:
            await active.next_change()


async def test_a_job_is_stopped_at_its_own_limit_whatever_the_others_may_take() -> None:
    limits, long, short, later = TimeLimits(), job("long"), job("short"), job("later")
    limits.begin(long, HOUR)
    limits.begin(short, 0.01)
    limits.begin(later, 0.02)
    await stopped(short)
    await stopped(later)
    assert short.reason is not None
    assert short.reason.status is JobStatus.TIMED_OUT
    assert short.reason.message == "The job was stopped: it ran longer than its limit of 0.01 s."
    assert long.reason is None
    for each in (long, short, later):
        limits.end(each)


async def test_a_job_that_has_ended_is_not_stopped_and_leaves_the_others_their_time() -> None:
    limits, over, goes_on = TimeLimits(), job("over"), job("goes on")
    limits.begin(over, 0.01)
    limits.begin(goes_on, 0.02)
    limits.end(over)
    await stopped(goes_on)
    limits.end(goes_on)
    assert over.reason is None
