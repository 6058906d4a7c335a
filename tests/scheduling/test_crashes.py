"""kill -9 at every point of firing: each moment still gets its job, and only one."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .support import SETTLE_SECONDS, START, Bench, utc

ROOT = Path(__file__).parents[2]


def start_process(base: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.scheduling.crashing", str(base), *arguments]
    return subprocess.Popen(command, cwd=ROOT)


def claimed_jobs(base: Path) -> dict[str, str]:
    """The moments that were claimed for a job, and its id."""
    claims = [json.loads(path.read_text()) for path in (base / "Schedules" / "fired").glob("*/*")]
    return {claim["Moment"]: claim["JobID"] for claim in claims if claim["JobID"]}


@pytest.mark.parametrize(
    "point", ["before_claiming", "before_submitting", "after_submitting", "before_finishing"]
)
async def test_a_process_killed_while_it_fires_neither_loses_nor_repeats_the_moment(
    bench: Bench, point: str
) -> None:
    schedule_id = bench.add("0 9 * * *")
    died = await asyncio.to_thread(
        start_process(bench.base, "at", point, utc("2026-01-05 09:00").isoformat()).wait, 60
    )
    assert died == -9
    submitted_before = [record["JobID"] for record in bench.jobs.records]
    assert bool(submitted_before) is (point in {"after_submitting", "before_finishing"})

    bench.time.now = utc("2026-01-05 09:00:10")
    await bench.start()
    await bench.until("2026-01-05 09:02")

    assert bench.jobs.moments == ["05 09:00"]
    assert bench.jobs.submitted_twice == []
    job_id = bench.jobs.records[0]["JobID"]
    assert submitted_before in ([], [job_id])
    assert list(claimed_jobs(bench.base).values()) == [job_id]
    schedule = bench.store.get(schedule_id)
    assert (schedule.last_fired_at, schedule.last_job_id) == (utc("2026-01-05 09:00"), job_id)
    assert list((bench.base / "Schedules" / "firing").iterdir()) == []


async def test_what_was_claimed_is_completed_long_after_and_with_the_id_it_was_claimed_with(
    bench: Bench,
) -> None:
    bench.add("0 9 * * *", misfire_policy="skip")
    process = start_process(bench.base, "at", "before_submitting", utc("2026-01-05 09:00").isoformat())
    await asyncio.to_thread(process.wait, 60)
    (job_id,) = claimed_jobs(bench.base).values()
    bench.time.now = utc("2026-01-05 18:00")
    await bench.start()
    assert [record["JobID"] for record in bench.jobs.records] == [job_id]


async def test_processes_that_run_together_and_are_killed_at_any_time_fire_each_moment_once(
    bench: Bench,
) -> None:
    bench.add("* * * * *", misfire_policy="run_once")
    arguments = ("run", str(time.time()), "300")
    processes = [start_process(bench.base, *arguments) for _ in range(2)]
    try:
        deadline = time.monotonic() + SETTLE_SECONDS
        killed = 0
        while len(bench.jobs.records) < 12 or killed < 3:
            assert time.monotonic() < deadline, "too few moments were fired"
            await asyncio.sleep(random.uniform(0.1, 0.4))
            if len(bench.jobs.records) > 3 * killed:
                processes[killed % 2].kill()
                await asyncio.to_thread(processes[killed % 2].wait, 60)
                processes[killed % 2] = start_process(bench.base, *arguments)
                killed += 1
    finally:
        for process in processes:
            process.kill()
            await asyncio.to_thread(process.wait, 60)

    # Whatever they left undone, the next process completes; it has no moments of its own.
    bench.time.now = START
    await bench.start()
    await bench.stop()

    records = bench.jobs.records
    moments = [record["ScheduledFor"] for record in records]
    assert len(moments) == len(set(moments)) >= 12
    assert bench.jobs.submitted_twice == []
    assert sorted(record["JobID"] for record in records) == sorted(claimed_jobs(bench.base).values())
    assert list((bench.base / "Schedules" / "firing").glob("[!.]*")) == []
