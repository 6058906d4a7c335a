"""Which waiting job is next."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aiohttp_jobs.engine.base import MAIN_LOOP_FUNCTIONS
from aiohttp_jobs.engine.embedded.queue import PendingJob, WaitingJobs
from aiohttp_jobs.model.job import ExecutionMode, new_job_id, utc_now

MODES = (ExecutionMode.BACKGROUND_JOB, ExecutionMode.RUNSPACE, None)
_sequence = count()


def job(user: str = "alice", priority: int = 5, **fields: Any) -> PendingJob:
    """A waiting job, each submitted a moment after the one before."""
    job_id = new_job_id()
    at = utc_now() - timedelta(hours=1) + timedelta(milliseconds=next(_sequence))
    known: dict[str, Any] = {"mode": ExecutionMode.BACKGROUND_JOB, "submitted_at": at, **fields}
    return PendingJob(
        key=job_id, stem=job_id, job_id=job_id, user_id=user, job_name="j", priority=priority, **known
    )


def queue_of(*jobs: PendingJob, starvation: float = 600) -> WaitingJobs:
    queue = WaitingJobs(starvation)
    for each in jobs:
        queue.add(each)
    return queue


def drain(queue: WaitingJobs) -> list[PendingJob]:
    taken = []
    while (following := queue.take(MODES.__contains__, lambda _: True)) is not None:
        taken.append(following)
    return taken


def test_one_users_jobs_start_in_the_order_of_submission() -> None:
    jobs = [job() for _ in range(20)]
    assert drain(queue_of(*jobs)) == jobs


def test_a_higher_priority_goes_first_and_order_holds_within_each() -> None:
    low, first, second = job(priority=1), job(priority=9), job(priority=9)
    assert drain(queue_of(low, first, second)) == [first, second, low]


def test_users_take_turns_however_many_jobs_one_of_them_has() -> None:
    many = [job("alice") for _ in range(100)]
    few = [job("bob") for _ in range(2)]
    assert [each.user_id for each in drain(queue_of(*many, *few))[:4]] == ["alice", "bob"] * 2


def test_a_mode_without_room_does_not_hold_up_another() -> None:
    full = [job(mode=ExecutionMode.RUNSPACE, priority=9) for _ in range(200)]
    other = job(priority=0)
    queue = queue_of(*full, other)
    assert queue.take(lambda slot: slot is ExecutionMode.BACKGROUND_JOB, lambda _: True) == other


def test_a_function_in_mainloop_does_not_wait_for_commands_there() -> None:
    command = job(mode=ExecutionMode.MAIN_LOOP, priority=9)
    function = job(mode=ExecutionMode.MAIN_LOOP, function="greet")
    elsewhere = job(function="report")
    queue = queue_of(command, function, elsewhere)
    assert queue.take(lambda slot: slot is MAIN_LOOP_FUNCTIONS, lambda _: True) == function
    assert queue.take(lambda slot: slot is ExecutionMode.BACKGROUND_JOB, lambda _: True) == elsewhere
    assert queue.take(lambda slot: slot is MAIN_LOOP_FUNCTIONS, lambda _: True) is None
    assert queue.take(lambda slot: slot is ExecutionMode.MAIN_LOOP, lambda _: True) == command


def test_a_job_that_may_not_start_is_passed_over_and_keeps_its_place() -> None:
    blocked, free = job(concurrency_key="db"), job()
    queue = queue_of(blocked, free)
    assert queue.take(MODES.__contains__, lambda each: each.concurrency_key is None) == free
    assert queue.take(MODES.__contains__, lambda _: True) == blocked


def test_the_oldest_job_cannot_starve_behind_a_stream_of_urgent_ones() -> None:
    oldest = job(priority=0)
    queue = queue_of(oldest, *(job("bob", priority=9) for _ in range(50)), starvation=0)
    assert queue.take(MODES.__contains__, lambda _: True) == oldest


def test_one_users_blocked_jobs_do_not_hide_those_of_others_that_have_waited_as_long() -> None:
    blocked = [job("mallory", 9, concurrency_key="db") for _ in range(100)]
    urgent, old = job("bob", 9), job("alice", 1)
    queue = queue_of(*blocked, old, urgent, starvation=0)
    assert queue.take(MODES.__contains__, lambda each: each.concurrency_key is None) == old


def test_a_hundred_users_whose_jobs_are_blocked_do_not_hide_another() -> None:
    blocked = [job(f"user {number}", concurrency_key="db") for number in range(100)]
    free = job("alice")
    queue = queue_of(*blocked, free)
    assert queue.take(MODES.__contains__, lambda each: each.concurrency_key is None) == free


def test_a_job_that_is_not_due_waits_apart_until_it_is() -> None:
    later, now = job(run_at=utc_now() + timedelta(hours=1)), job()
    queue = queue_of(later, now)
    assert drain(queue) == [now]
    assert queue.not_due() == [later]
    assert queue.next_due() == later.run_at


def test_a_job_whose_time_has_come_takes_its_place() -> None:
    due = job(run_at=utc_now() - timedelta(seconds=1))
    queue = queue_of(due)
    assert queue.in_order() == [due]
    assert queue.next_due() is None


def test_a_removed_job_never_starts() -> None:
    kept, removed, later = job(), job(), job(run_at=utc_now() + timedelta(hours=1))
    queue = queue_of(removed, kept, later)
    assert queue.remove(removed.job_id) == removed
    assert queue.remove(later.job_id) == later
    assert queue.remove(removed.job_id) is None
    assert drain(queue) == [kept]
    assert queue.next_due() is None


def test_a_job_that_is_to_be_rejected_needs_no_room() -> None:
    bad = job(mode=None, problem="not signed")
    assert queue_of(bad).take(lambda slot: slot is None, lambda _: True) == bad


def test_jobs_are_counted_for_each_user_while_they_wait() -> None:
    queue = queue_of(job("alice"), job("alice"), job("bob"))
    assert (queue.count("alice"), queue.count("bob"), queue.count("carol")) == (2, 1, 0)
    drain(queue)
    assert (queue.count("alice"), len(queue)) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=40))
def test_every_job_starts_exactly_once_in_the_order_that_is_shown(jobs: list[tuple[str, int]]) -> None:
    made = [job(user, priority) for user, priority in jobs]
    queue = queue_of(*made)
    shown = queue.in_order()
    taken = drain(queue)
    assert sorted(each.job_id for each in taken) == sorted(each.job_id for each in made)
    assert [each.priority for each in taken] == [each.priority for each in shown]
