"""When schedules fire, with the time in the test's hands; everything else is real."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime, timedelta

from aiohttp_jobs.engine.embedded.fired_moments import FiredMomentFiles
from aiohttp_jobs.errors import ForbiddenError, ShuttingDownError
from aiohttp_jobs.model.schedule import Schedule
from aiohttp_jobs.scheduling.scheduler import Scheduler
from aiohttp_jobs.system.storage_state import StorageState

from ..gate import PATIENCE_SECONDS
from .support import START, Bench, JobFolder, until, utc


async def test_fires_at_each_moment(bench: Bench) -> None:
    bench.add("*/20 * * * *")
    await bench.start()
    await bench.until("2026-01-05 08:19:59")
    assert bench.jobs.moments == []
    await bench.until("2026-01-05 09:00")
    assert bench.jobs.moments == ["05 08:20", "05 08:40", "05 09:00"]


async def test_remembers_the_moment_and_the_job(bench: Bench) -> None:
    schedule_id = bench.add("30 * * * *")
    await bench.start()
    await bench.until("2026-01-05 08:31")
    schedule = bench.store.get(schedule_id)
    assert schedule.last_fired_at == utc("2026-01-05 08:30")
    assert [schedule.last_job_id] == [record["JobID"] for record in bench.jobs.records]


async def test_many_schedules_fire_at_one_moment_once_each(bench: Bench) -> None:
    ids = {bench.add("0 9 * * *") for _ in range(20)}
    await bench.start()
    await bench.until("2026-01-05 09:01")
    assert len(bench.jobs.records) == 20
    assert {record["ScheduleID"] for record in bench.jobs.records} == ids


async def test_a_disabled_schedule_does_not_fire(bench: Bench) -> None:
    schedule_id = bench.add("0 * * * *")
    await bench.start()
    await bench.until("2026-01-05 09:30")
    bench.change(schedule_id, enabled=False)
    await bench.until("2026-01-05 12:30")
    assert bench.jobs.moments == ["05 09:00"]


async def test_enabled_again_it_does_not_make_up_for_what_passed(bench: Bench) -> None:
    schedule_id = bench.add("0 * * * *", enabled=False, misfire_policy="run_once")
    await bench.start()
    await bench.until("2026-01-05 10:30")
    bench.change(schedule_id, enabled=True, active_since=bench.time.now)
    await bench.until("2026-01-05 11:30")
    assert bench.jobs.moments == ["05 11:00"]


async def test_sees_what_other_processes_add_change_and_remove(bench: Bench) -> None:
    await bench.start()
    schedule_id = bench.add("0 * * * *")
    await bench.until("2026-01-05 09:30")
    bench.change(schedule_id, cron="15 * * * *")
    await bench.until("2026-01-05 10:30")
    bench.store.remove(schedule_id)
    await bench.until("2026-01-05 12:30")
    assert bench.jobs.moments == ["05 09:00", "05 10:15"]


async def test_woken_it_looks_at_once(bench: Bench) -> None:
    scheduler = await bench.start()
    bench.time.set(utc("2026-01-05 08:59:50"))
    await bench.settle()
    bench.add("0 9 * * *")
    scheduler.wake()
    await bench.settle()
    assert bench.time.next_waking == utc("2026-01-05 09:00")


async def test_fires_only_between_start_and_end_both_included(bench: Bench) -> None:
    bench.add("*/30 * * * *", start_at=utc("2026-01-05 09:00"), end_at=utc("2026-01-05 10:00"))
    await bench.start()
    await bench.until("2026-01-05 12:00")
    assert bench.jobs.moments == ["05 09:00", "05 09:30", "05 10:00"]


async def test_jitter_delays_by_the_same_time_in_every_process(bench: Bench) -> None:
    bench.add("0 * * * *", jitter_seconds=1800.0)
    await bench.start()
    await bench.start()
    fired: list[datetime] = []
    for minute in range(1, 120):
        await bench.until(START + timedelta(minutes=minute))
        if len(bench.jobs.records) > len(fired):
            fired.append(bench.time.now)
    assert bench.jobs.moments == ["05 09:00"]
    assert utc("2026-01-05 09:00") < fired[0] <= utc("2026-01-05 09:30")


# --- overlap


async def test_overlap_skip_leaves_out_a_moment_while_the_job_before_goes_on(bench: Bench) -> None:
    schedule_id = bench.add("0 * * * *", overlap_policy="skip")
    await bench.start()
    await bench.until("2026-01-05 09:01")
    bench.jobs.active = {bench.jobs.records[0]["JobID"]}
    await bench.until("2026-01-05 11:01")
    bench.jobs.active.clear()
    await bench.until("2026-01-05 12:01")
    assert bench.jobs.moments == ["05 09:00", "05 12:00"]
    schedule = bench.store.get(schedule_id)
    assert schedule.last_skipped_at == utc("2026-01-05 11:00")
    assert schedule.last_skip_reason is not None
    assert "had not ended" in schedule.last_skip_reason


async def test_a_moment_that_was_skipped_is_not_fired_after_a_restart(bench: Bench) -> None:
    bench.add("0 * * * *", overlap_policy="skip", misfire_policy="run_once")
    await bench.start()
    await bench.until("2026-01-05 09:01")
    bench.jobs.active = {bench.jobs.records[0]["JobID"]}
    await bench.until("2026-01-05 10:01")
    bench.jobs.active.clear()
    await bench.stop()
    await bench.start()
    await bench.until("2026-01-05 10:30")
    assert bench.jobs.moments == ["05 09:00"]


async def test_overlap_queue_submits_jobs_that_never_run_at_once(bench: Bench) -> None:
    schedule_id = bench.add("0 * * * *", overlap_policy="queue")
    await bench.start()
    await bench.until("2026-01-05 09:01")
    bench.jobs.active = {bench.jobs.records[0]["JobID"]}
    await bench.until("2026-01-05 10:01")
    assert bench.jobs.moments == ["05 09:00", "05 10:00"]
    assert {record["ConcurrencyKey"] for record in bench.jobs.records} == {f"schedule:{schedule_id}"}
    assert bench.jobs.cancelled == []


async def test_overlap_replace_cancels_the_job_before(bench: Bench) -> None:
    schedule_id = bench.add("0 * * * *", overlap_policy="replace")
    await bench.start()
    await bench.until("2026-01-05 09:01")
    first = bench.jobs.records[0]["JobID"]
    bench.jobs.active = {first}
    await bench.until("2026-01-05 10:01")
    assert bench.jobs.moments == ["05 09:00", "05 10:00"]
    assert bench.jobs.cancelled == [first]
    assert bench.jobs.records[1]["ConcurrencyKey"] == f"schedule:{schedule_id}"


async def test_overlap_replace_lets_the_job_before_go_on_when_the_next_is_refused(bench: Bench) -> None:
    bench.add("0 * * * *", overlap_policy="replace")
    await bench.start()
    await bench.until("2026-01-05 09:01")
    bench.jobs.refusal = ForbiddenError()
    await bench.until("2026-01-05 10:01")
    assert bench.jobs.cancelled == []


async def test_overlap_replace_cancels_the_job_before_even_if_that_fails_at_first(bench: Bench) -> None:
    class Failing(JobFolder):
        async def cancel(self, job_id: str) -> None:
            if not attempts:
                attempts.append(job_id)
                raise OSError(5, "Input/output error")
            await super().cancel(job_id)

    attempts: list[str] = []
    bench.add("0 * * * *", overlap_policy="replace")
    bench.jobs = Failing(bench.base / "jobs")
    await bench.start()
    await bench.until("2026-01-05 10:01")
    assert bench.jobs.moments == ["05 09:00", "05 10:00"]
    assert bench.jobs.cancelled == attempts == [bench.jobs.records[0]["JobID"]]
    assert bench.jobs.submitted_twice == []


# --- misfires


async def test_misfire_skip_leaves_out_what_passed_during_a_downtime(bench: Bench) -> None:
    schedule_id = bench.add("0 * * * *", misfire_policy="skip")
    bench.time.now = utc("2026-01-07 08:30")
    await bench.start()
    await bench.until("2026-01-07 09:30")
    assert bench.jobs.moments == ["07 09:00"]
    schedule = bench.store.get(schedule_id)
    assert schedule.last_skipped_at == utc("2026-01-07 08:00")
    assert schedule.last_skip_reason is not None
    assert "1800 s" in schedule.last_skip_reason


async def test_misfire_run_once_makes_up_for_the_last_moment_only(bench: Bench) -> None:
    bench.add("0 * * * *", misfire_policy="run_once")
    bench.time.now = utc("2026-01-07 08:30")
    await bench.start()
    await bench.until("2026-01-07 09:30")
    assert bench.jobs.moments == ["07 08:00", "07 09:00"]


async def test_misfire_run_once_runs_once_for_two_restarts_and_two_processes(bench: Bench) -> None:
    bench.add("0 3 * * *", misfire_policy="run_once")
    bench.time.now = utc("2026-01-07 08:30")
    for _ in range(2):
        await bench.start()
        await bench.start()
        await bench.stop()
    assert bench.jobs.moments == ["07 03:00"]


async def test_a_moment_within_the_grace_time_counts_as_on_time(bench: Bench) -> None:
    bench.add("0 * * * *", misfire_policy="skip", misfire_grace_seconds=600.0)
    bench.time.now = utc("2026-01-05 09:10")
    await bench.start()
    assert bench.jobs.moments == ["05 09:00"]


async def test_a_moment_beyond_the_grace_time_does_not(bench: Bench) -> None:
    bench.add("0 * * * *", misfire_policy="skip", misfire_grace_seconds=600.0)
    bench.time.now = utc("2026-01-05 09:10:01")
    await bench.start()
    assert bench.jobs.moments == []


async def test_nothing_before_the_schedule_was_made_counts_as_missed(bench: Bench) -> None:
    bench.add("*/5 * * * *", misfire_policy="run_once", active_since=utc("2026-01-05 08:31"))
    bench.time.now = utc("2026-01-05 08:34")
    await bench.start()
    assert bench.jobs.moments == []


# --- clocks


async def test_a_clock_set_back_fires_no_moment_twice(bench: Bench) -> None:
    bench.add("*/10 * * * *", misfire_policy="run_once")
    await bench.start()
    await bench.until("2026-01-05 09:00")
    before = bench.jobs.moments
    bench.time.set(utc("2026-01-05 08:15"))
    await bench.until("2026-01-05 09:11")
    assert bench.jobs.moments == [*before, "05 09:10"]


async def test_nor_when_the_process_was_restarted_with_the_clock_set_back(bench: Bench) -> None:
    bench.add("*/10 * * * *", misfire_policy="run_once")
    await bench.start()
    await bench.until("2026-01-05 09:00")
    before = bench.jobs.moments
    await bench.stop()
    bench.time.now = utc("2026-01-05 08:05")
    await bench.start()
    await bench.until("2026-01-05 09:11")
    assert bench.jobs.moments == [*before, "05 09:10"]


async def test_a_clock_that_was_years_ahead_does_not_silence_a_schedule(bench: Bench) -> None:
    bench.add("0 * * * *", active_since=utc("2035-01-01 00:30"))
    bench.time.now = utc("2035-01-01 00:30")
    await bench.start()
    await bench.until("2035-01-01 01:01")
    bench.time.set(utc("2026-01-05 08:30"))
    await bench.until("2026-01-05 10:01")
    assert bench.jobs.moments == ["05 09:00", "05 10:00", "01 01:00"]


async def test_a_clock_set_forward_is_noticed_within_30_seconds_and_fires_the_last_moment_once(
    bench: Bench,
) -> None:
    bench.add("0 * * * *", misfire_policy="run_once")
    await bench.start()
    bench.time.set(utc("2026-01-05 15:20"))
    await bench.until("2026-01-05 15:20:30")
    assert bench.jobs.moments == ["05 15:00"]


async def test_a_daily_job_through_the_night_that_lacks_its_hour(bench: Bench) -> None:
    bench.time.now = utc("2026-03-28 12:00")
    bench.add("30 2 * * *", timezone="Europe/Berlin", active_since=bench.time.now)
    await bench.start()
    for start, end in (("2026-03-29 00:15", "2026-03-29 02:00"), ("2026-03-30 00:15", "2026-03-30 02:00")):
        bench.time.set(utc(start))
        await bench.until(end)
    # On the 29th there is no 02:30: the clock goes from 02:00+01:00 to 03:00+02:00. Then it is +02:00.
    assert bench.jobs.moments == ["29 01:00", "30 00:30"]


async def test_a_daily_job_through_the_night_that_has_its_hour_twice(bench: Bench) -> None:
    bench.time.now = utc("2026-10-24 12:00")
    bench.add("30 2 * * *", timezone="Europe/Berlin", active_since=bench.time.now)
    await bench.start()
    for start, end in (("2026-10-25 00:15", "2026-10-25 02:00"), ("2026-10-26 00:15", "2026-10-26 02:00")):
        bench.time.set(utc(start))
        await bench.until(end)
    # On the 25th 02:30 comes as 02:30+02:00 and as 02:30+01:00: once is enough.
    assert bench.jobs.moments == ["25 00:30", "26 01:30"]


# --- refusals and failures


async def test_a_refusal_is_recorded_and_the_schedule_stays(bench: Bench) -> None:
    schedule_id = bench.add("0 * * * *")
    await bench.start()
    bench.jobs.refusal = ForbiddenError("The user 'alice' no longer exists.")
    await bench.until("2026-01-05 09:01")
    refused = bench.store.get(schedule_id)
    assert refused.last_error == "The user 'alice' no longer exists."
    assert refused.last_error_at is not None
    assert refused.last_fired_at is None
    bench.jobs.refusal = None
    await bench.until("2026-01-05 10:01")
    assert bench.jobs.moments == ["05 10:00"]
    assert bench.store.get(schedule_id).last_error is None


async def test_a_failure_is_tried_again_until_the_job_is_submitted(bench: Bench) -> None:
    bench.add("0 * * * *")
    await bench.start()
    bench.jobs.refusal = OSError(28, "No space left on device")
    await bench.until("2026-01-05 09:05")
    assert bench.jobs.moments == []
    bench.jobs.refusal = None
    await bench.until("2026-01-05 09:06")
    assert bench.jobs.moments == ["05 09:00"]


async def test_what_a_closing_process_could_not_submit_another_does(bench: Bench) -> None:
    bench.add("0 9 * * *")
    closing = JobFolder(bench.base / "jobs")
    closing.refusal = ShuttingDownError()
    await bench.start(closing)
    await bench.until("2026-01-05 09:00:05")
    assert bench.jobs.moments == []
    await bench.stop()
    await bench.start()
    assert bench.jobs.moments == ["05 09:00"]


async def test_a_schedule_that_was_disabled_meanwhile_is_not_made_up_for(bench: Bench) -> None:
    schedule_id = bench.add("0 9 * * *")
    await bench.start()
    bench.jobs.refusal = OSError(28, "No space left on device")
    await bench.until("2026-01-05 09:05")
    bench.change(schedule_id, enabled=False)
    bench.jobs.refusal = None
    await bench.until("2026-01-05 09:06")
    assert bench.jobs.moments == []


async def test_one_schedule_whose_submission_hangs_does_not_hold_up_the_others(bench: Bench) -> None:
    class Hanging(JobFolder):
        async def submit(self, schedule: Schedule, job_id: str, scheduled_for: datetime) -> None:
            if schedule.name == "hangs":
                await go_on.wait()
            await super().submit(schedule, job_id, scheduled_for)

    go_on = asyncio.Event()
    bench.add("0 * * * *", name="hangs")
    bench.add("*/30 * * * *", name="goes on")
    await bench.start(Hanging(bench.base / "jobs"))
    bench.time.tick(utc("2026-01-05 09:00"))
    await until(lambda: bench.jobs.moments == ["05 09:00"])
    await until(lambda: bench.time.is_asleep(1))
    bench.time.tick(utc("2026-01-05 09:30"))
    await until(lambda: bench.jobs.moments == ["05 09:00", "05 09:30"])
    go_on.set()
    await bench.settle()
    assert bench.jobs.moments == ["05 09:00", "05 09:00", "05 09:30"]


async def test_closing_fires_to_the_end_what_has_begun(bench: Bench) -> None:
    class Slow(JobFolder):
        async def submit(self, schedule: Schedule, job_id: str, scheduled_for: datetime) -> None:
            begun.set()
            await go_on.wait()
            await super().submit(schedule, job_id, scheduled_for)

    begun, go_on = asyncio.Event(), asyncio.Event()
    bench.add("0 9 * * *")
    scheduler = await bench.start(Slow(bench.base / "jobs"))
    bench.time.tick(utc("2026-01-05 09:00"))
    await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
    closing = asyncio.create_task(scheduler.close())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    assert bench.jobs.moments == ["05 09:00"]


# --- several processes


async def test_two_processes_fire_each_moment_once(bench: Bench) -> None:
    for minute in range(5):
        bench.add(f"{minute}-59/5 * * * *")
    await bench.start()
    await bench.start()
    await bench.until("2026-01-05 09:00")
    moments = bench.jobs.moments
    assert len(moments) == len(set(moments)) == 60
    assert bench.jobs.submitted_twice == []


async def test_sleeps_on_the_real_clock_until_the_moment(bench: Bench) -> None:
    offset = utc("2026-01-05 08:59:59.700000") - datetime.now(UTC)
    fired_at: list[datetime] = []

    class Noting(JobFolder):
        async def submit(self, schedule: Schedule, job_id: str, scheduled_for: datetime) -> None:
            fired_at.append(datetime.now(UTC) + offset)

    bench.add("0 9 * * *")
    scheduler = Scheduler(
        bench.store,
        FiredMomentFiles(bench.base),
        Noting(bench.base / "jobs"),
        storage=StorageState(bench.base),
        interval=3600.0,
        clock=lambda: datetime.now(UTC) + offset,
    )
    await scheduler.open()
    await until(lambda: bool(fired_at))
    await scheduler.close()
    assert len(fired_at) == 1
    assert fired_at[0] >= utc("2026-01-05 09:00")


async def test_a_folder_that_cannot_be_read_for_a_while_is_looked_at_again(bench: Bench) -> None:
    bench.add("0 9 * * *")
    await bench.start()
    folder = bench.base / "Schedules"
    folder.rename(bench.base / "away")
    await bench.until("2026-01-05 08:40")
    shutil.rmtree(folder, ignore_errors=True)  # an empty one was made in its place
    (bench.base / "away").rename(folder)
    await bench.until("2026-01-05 09:01")
    assert bench.jobs.moments == ["05 09:00"]
