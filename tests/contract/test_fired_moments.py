"""What every engine promises of a schedule's moments: one process gets each, or another finishes it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest

from ..gate import PATIENCE_SECONDS
from ..scheduling.support import START, make_schedule
from .records import JOB_ID, STALL_SECONDS, KeptRecords, StartRecords

MINUTE = timedelta(minutes=1)


@pytest.fixture
def schedule_id(kept: KeptRecords) -> str:
    """A schedule that is really there."""
    schedule = make_schedule()
    kept.schedules.add(schedule)
    return schedule.schedule_id


def test_a_moment_is_claimed_once(kept: KeptRecords, other: KeptRecords, schedule_id: str) -> None:
    claim = kept.fired_moments.take(schedule_id, START, JOB_ID)
    assert claim is not None
    assert (claim.schedule_id, claim.moment, claim.job_id) == (schedule_id, START, JOB_ID)
    assert kept.fired_moments.take(schedule_id, START, JOB_ID) is None
    assert other.fired_moments.take(schedule_id, START, JOB_ID) is None
    kept.fired_moments.finish(claim)
    assert other.fired_moments.take(schedule_id, START, JOB_ID) is None


def test_of_many_that_want_it_at_once_one_gets_it(
    start_records: StartRecords, kept: KeptRecords, schedule_id: str
) -> None:
    rivals = [kept.fired_moments, *(start_records().fired_moments for _ in range(3))]
    with ThreadPoolExecutor(8) as threads:
        for number in range(10):
            moment = START + number * MINUTE
            taken = list(threads.map(lambda each, at=moment: each.take(schedule_id, at, JOB_ID), rivals * 2))
            (winner,) = (index for index, claim in enumerate(taken) if claim is not None)
            rivals[winner % 4].finish(taken[winner])
    assert rivals[0].take_over() == []
    assert not rivals[0].any_unfinished()


def test_nobody_takes_over_what_is_held_or_finished(
    kept: KeptRecords, other: KeptRecords, schedule_id: str
) -> None:
    held = kept.fired_moments.take(schedule_id, START, JOB_ID)
    finished = kept.fired_moments.take(schedule_id, START + MINUTE, JOB_ID)
    assert held is not None
    assert finished is not None
    kept.fired_moments.finish(finished)
    assert other.fired_moments.any_unfinished()
    assert other.fired_moments.take_over() == []
    assert kept.fired_moments.take_over() == []
    kept.fired_moments.finish(held)
    assert other.fired_moments.take_over() == []
    assert not other.fired_moments.any_unfinished()


def test_what_was_released_is_taken_over_once(
    kept: KeptRecords, other: KeptRecords, schedule_id: str
) -> None:
    claim = kept.fired_moments.take(schedule_id, START, None, "The job before had not ended.")
    assert claim is not None
    kept.fired_moments.release(claim)
    found = other.fired_moments.take_over()
    assert [(each.schedule_id, each.moment, each.job_id, each.skipped) for each in found] == [
        (schedule_id, START, None, "The job before had not ended.")
    ]
    assert kept.fired_moments.take_over() == []
    assert other.fired_moments.take_over() == []
    other.fired_moments.finish(found[0])
    assert kept.fired_moments.take_over() == []


def test_what_was_released_may_be_taken_over_by_the_same(kept: KeptRecords, schedule_id: str) -> None:
    claim = kept.fired_moments.take(schedule_id, START, JOB_ID)
    assert claim is not None
    kept.fired_moments.release(claim)
    (again,) = kept.fired_moments.take_over()
    assert again.job_id == JOB_ID
    kept.fired_moments.finish(again)


def test_of_many_that_take_over_at_once_one_gets_each(
    start_records: StartRecords, kept: KeptRecords, schedule_id: str
) -> None:
    rivals = [start_records().fired_moments for _ in range(3)]
    for number in range(20):
        claim = kept.fired_moments.take(schedule_id, START + number * MINUTE, JOB_ID)
        assert claim is not None
        kept.fired_moments.release(claim)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda each: each.take_over(), rivals))
    assert sorted(each.moment for claims in found for each in claims) == [
        START + number * MINUTE for number in range(20)
    ]
    for rival, claims in zip(rivals, found, strict=True):
        for each in claims:
            rival.finish(each)


@contextmanager
def holder(kept_in: tuple[str, str], schedule_id: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that has taken the moment `START`, and leads in sending notices."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.contract.records", *kept_in, schedule_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_what_a_killed_process_held_is_taken_over(
    kept: KeptRecords, kept_in: tuple[str, str], schedule_id: str
) -> None:
    with holder(kept_in, schedule_id) as process:
        # For longer than it takes to find out that it does not live, if it did not.
        deadline = time.monotonic() + 1.2 * STALL_SECONDS
        while time.monotonic() < deadline:
            assert kept.fired_moments.take_over() == []
            assert not kept.notices.lead()
            time.sleep(0.1)
        process.kill()
        process.wait()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := kept.fired_moments.take_over()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [(each.moment, each.job_id) for each in found] == [(START, JOB_ID)]
    assert kept.notices.lead()
    kept.fired_moments.finish(found[0])
    assert kept.fired_moments.take(schedule_id, START, JOB_ID) is None


def test_old_ones_are_forgotten_but_for_the_newest(
    kept: KeptRecords, other: KeptRecords, schedule_id: str
) -> None:
    moments = [START + number * timedelta(hours=12) for number in range(20)]
    for moment in moments:
        claim = kept.fired_moments.take(schedule_id, moment, JOB_ID)
        assert claim is not None
        kept.fired_moments.finish(claim)
    claimed_again = []
    for moment in moments:
        claim = other.fired_moments.take(schedule_id, moment, JOB_ID)
        claimed_again.append(claim is not None)
        if claim is not None:
            other.fired_moments.release(claim)
    assert claimed_again == [True] * 10 + [False] * 10


def test_tells_until_when_moments_were_handled(kept: KeptRecords, schedule_id: str) -> None:
    assert kept.fired_moments.handled_until(schedule_id, START) is None
    for moment in (START, START + MINUTE):
        claim = kept.fired_moments.take(schedule_id, moment, JOB_ID)
        assert claim is not None
        kept.fired_moments.finish(claim)
    assert kept.fired_moments.handled_until(schedule_id, START + 9 * MINUTE) == START + MINUTE
    assert kept.fired_moments.handled_until(schedule_id, START) == START
    assert kept.fired_moments.handled_until(schedule_id, START - MINUTE) == START - MINUTE


def test_a_deleted_schedules_moments_are_forgotten(
    kept: KeptRecords, other: KeptRecords, schedule_id: str
) -> None:
    for number in range(2):
        claim = kept.fired_moments.take(schedule_id, START + number * MINUTE, JOB_ID)
        assert claim is not None
        kept.fired_moments.finish(claim)
    kept.schedules.remove(schedule_id)
    other.fired_moments.open()
    assert kept.fired_moments.handled_until(schedule_id, START) is None
    kept.fired_moments.forget(schedule_id)
