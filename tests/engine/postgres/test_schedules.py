"""Schedules of several hosts whose clocks differ: each moment is fired once, by one of them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from aiohttp_jobs.scheduling.scheduler import Scheduler
from aiohttp_jobs.system.storage_state import StorageState

from ...gate import until
from ...scheduling.support import START, JobFolder, Time, make_schedule
from .support import installation

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

SKEWS = (-30, 0, 30)
FIRST_SECOND = 60
STEP_SECONDS = 15


async def test_hosts_with_clocks_half_a_minute_apart_fire_each_moment_once(
    postgres: str, tmp_path: Path
) -> None:
    jobs = JobFolder(tmp_path / "jobs")
    hosts: list[tuple[Time, Scheduler]] = []
    async with AsyncExitStack() as stack:
        for skew in SKEWS:
            host = installation(postgres)
            host.open()
            stack.callback(host.close)
            if not hosts:
                host.schedules.add(make_schedule("*/2 * * * *"))
            time = Time(START + timedelta(seconds=FIRST_SECOND + skew))
            scheduler = Scheduler(
                host.schedules, host.fired_moments, jobs,
                storage=StorageState(tmp_path), interval=3600.0, clock=time.clock, wait=time.wait,
            )  # fmt: skip
            await scheduler.open()
            stack.push_async_callback(scheduler.close)
            hosts.append((time, scheduler))
        for seconds in range(FIRST_SECOND, 330, STEP_SECONDS):
            for skew, (time, scheduler) in zip(SKEWS, hosts, strict=True):
                time.tick(START + timedelta(seconds=seconds + skew))

                def is_done(time: Time = time, scheduler: Scheduler = scheduler) -> bool:
                    return scheduler.is_idle and time.is_asleep(1)

                await until(is_done, "the end of a look")
    assert jobs.moments == ["05 08:02", "05 08:04"]
    assert jobs.submitted_twice == []
