"""What every engine's JobQueue promises, by itself and beside others that share its storage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from aiohttp_jobs.engine.base import JobChange, JobQuery, JobQueue, MostWaiting, cancelled_by
from aiohttp_jobs.errors import TooManyPendingError
from aiohttp_jobs.model.job import ExecutionMode, InterpreterName, JobPhase, new_job_id, utc_now

from ..gate import PATIENCE_SECONDS, Gate, until_answered
from .conftest import StartEngine, StartQueue
from .jobs import submission, submit

ACTIVE = frozenset({JobPhase.RUNNING, JobPhase.QUEUED, JobPhase.PENDING})


async def found(queue: JobQueue, *phases: JobPhase, limit: int = 100, **wanted: Any) -> list[str]:
    query = JobQuery(frozenset(phases) or ACTIVE, limit, **wanted)
    return [state.job.job_id for state in await queue.find(query)]


async def phase(queue: JobQueue, job_id: str) -> JobPhase | None:
    state = await queue.get(job_id)
    return None if state is None else state.phase


class Watch:
    """The changes that one queue tells of."""

    def __init__(self) -> None:
        self._changes: asyncio.Queue[JobChange] = asyncio.Queue()
        self._records: dict[str, dict[str, Any]] = {}

    def note(self, change: JobChange) -> None:
        if change.record is not None:
            self._records[change.job_id] = change.record
        self._changes.put_nowait(change)

    async def ended(self, job_id: str) -> dict[str, Any]:
        """The result of a job, once it is told of."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while job_id not in self._records:
                await self._changes.get()
        return self._records[job_id]

    async def deleted(self, job_id: str) -> str:
        """Whose job that was, once it is told that its result was deleted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                change = await self._changes.get()
                if change.job_id == job_id and change.record is None and change.state is None:
                    return change.user_id

    async def reached(self, job_id: str, phase: JobPhase) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                change = await self._changes.get()
                if change.job_id == job_id and change.state is not None and change.state.phase is phase:
                    return


@asynccontextmanager
async def watching(queue: JobQueue) -> AsyncIterator[Watch]:
    watch = Watch()
    async with queue.watch(watch.note):
        yield watch


# --- one alone


async def test_a_job_is_known_from_its_acceptance_to_its_end(queue: JobQueue, gate: Gate) -> None:
    async with watching(queue) as watch:
        job_id = await submit(queue, gate.shell)
        await watch.reached(job_id, JobPhase.RUNNING)
        state = await queue.get(job_id)
        assert state is not None
        assert (state.phase, state.job.user_id, state.job.attempt) == (JobPhase.RUNNING, "alice", 1)
        assert state.started_at is not None
        assert state.started_at >= state.job.submitted_at
        assert await found(queue, JobPhase.RUNNING) == [job_id]
        gate.open()
        assert (await watch.ended(job_id))["Status"] == "Succeeded"
        assert await queue.get(job_id) is None
        assert await found(queue) == []


async def test_a_job_is_looked_up_however_it_stands(queue: JobQueue, gate: Gate) -> None:
    assert await queue.look_up(new_job_id()) is None
    job_id = await submit(queue, gate.shell)
    await gate.reached()
    found = await queue.look_up(job_id)
    assert found is not None
    assert (found.known.phase, found.record, found.owner) == (JobPhase.RUNNING, None, "alice")
    gate.open()
    record = await queue.end_of(job_id, PATIENCE_SECONDS)

    async def has_ended() -> bool:
        found = await queue.look_up(job_id)
        assert found is not None
        return found.state is None and found.record == record and found.owner == "alice"

    await until_answered(has_ended, "a look-up that finds the result")


async def test_a_job_that_never_was_is_not_found_and_cancelling_it_does_nothing(queue: JobQueue) -> None:
    assert await queue.get(new_job_id()) is None
    await queue.cancel(new_job_id(), cancelled_by("alice"))
    assert await found(queue) == []


async def test_jobs_are_found_in_the_order_in_which_they_would_start(queue: JobQueue) -> None:
    await queue.set_paused(True)
    first, second = await submit(queue), await submit(queue)
    urgent = await submit(queue, priority=9)
    later = await submit(queue, run_at=utc_now() + timedelta(hours=1))
    assert await found(queue) == [urgent, first, second, later]
    states = await queue.find(JobQuery(ACTIVE, 100))
    assert [state.position for state in states] == [1, 2, 3, None]
    assert [state.phase for state in states] == [JobPhase.QUEUED] * 3 + [JobPhase.PENDING]
    listed, summary = await queue.overview(JobQuery(ACTIVE, 100))
    assert (listed, summary.queued, summary.pending) == (states, 3, 1)
    state = await queue.get(second)
    assert state is not None
    assert state.position == 3


async def test_only_those_that_are_asked_for_are_found(queue: JobQueue) -> None:
    await queue.set_paused(True)
    hers, his = await submit(queue), await submit(queue, user_id="bob")
    assert await found(queue, user_id="bob") == [his]
    assert await found(queue, id_prefix=hers[:13]) == [hers]
    assert len(await found(queue, limit=1)) == 1
    assert await found(queue, JobPhase.RUNNING) == []


async def test_nothing_starts_while_it_is_paused(queue: JobQueue) -> None:
    async with watching(queue) as watch:
        await queue.set_paused(True)
        job_id = await submit(queue)
        summary = await queue.summary()
        assert (summary.is_paused, summary.queued, summary.running) == (True, 1, 0)
        await queue.set_paused(False)
        assert (await watch.ended(job_id))["Status"] == "Succeeded"


async def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(queue: JobQueue, gate: Gate) -> None:
    async with watching(queue) as watch:
        running = await submit(queue, gate.shell)
        await watch.reached(running, JobPhase.RUNNING)
        waiting = await submit(queue)
        for job_id in (waiting, running):
            await queue.cancel(job_id, cancelled_by("bob"))
        for job_id in (waiting, running):
            record = await watch.ended(job_id)
            assert record["Status"] == "Cancelled"
            assert "cancelled by bob" in record["Output"]


async def test_no_more_wait_than_may(queue: JobQueue) -> None:
    await queue.set_paused(True)
    await queue.submit(submission("1234"), is_new=True, most_waiting=MostWaiting(1, 100))
    for most in (MostWaiting(1, 100), MostWaiting(2, 7)):
        with pytest.raises(TooManyPendingError):
            await queue.submit(submission("1234"), is_new=True, most_waiting=most)
    await queue.submit(submission("1234"), is_new=True, most_waiting=MostWaiting(2, 8))
    await queue.submit(submission(user_id="bob"), is_new=True, most_waiting=MostWaiting(1, 100))
    assert (await queue.summary()).queued == 3


async def test_workers_tell_whose_job_they_run(queue: JobQueue, gate: Gate) -> None:
    fields = {"execution_mode": ExecutionMode.RUNSPACE, "interpreter": InterpreterName.PYTHON}
    job_id = await submit(queue, gate.python, **fields)
    await gate.reached()
    (worker,) = [worker for worker in await queue.workers() if worker.job_id == job_id]
    assert (worker.pid, worker.user_id, worker.memory is None) == (gate.pids[0], "alice", False)
    gate.open()
    assert await queue.end_of(job_id, PATIENCE_SECONDS) is not None
    assert job_id not in [worker.job_id for worker in await queue.workers()]


async def test_it_tells_of_results_that_are_deleted(start_engine: StartEngine) -> None:
    engine = await start_engine()
    async with watching(engine.queue) as watch:
        job_id = await submit(engine.queue)
        await watch.ended(job_id)
        await engine.results.catch_up()
        assert await engine.results.delete([job_id]) == 1
        assert await watch.deleted(job_id) == "alice"


# --- several on one storage


async def test_each_knows_what_all_run_and_have_waiting(start_queue: StartQueue, gate: Gate) -> None:
    one, other = await start_queue(), await start_queue()
    running = {await submit(one, gate.shell) for _ in range(2)}
    await gate.reached(2)
    waiting = await submit(one)
    for queue in (one, other):
        assert set(await found(queue, JobPhase.RUNNING)) == running
        assert await found(queue, JobPhase.QUEUED) == [waiting]
        summary = await queue.summary()
        assert (summary.queued, summary.running) == (1, 2)
        assert {await phase(queue, job_id) for job_id in running} == {JobPhase.RUNNING}
    gate.open()


async def test_who_waits_for_a_job_is_let_go_when_its_result_was_deleted_already(
    start_engine: StartEngine,
) -> None:
    one, other = await start_engine(), await start_engine()
    job_id = await submit(one.queue)
    assert await one.queue.end_of(job_id, PATIENCE_SECONDS) is not None
    await one.results.catch_up()
    await one.results.delete([job_id])
    async with asyncio.timeout(PATIENCE_SECONDS):
        for engine in (one, other):
            assert await engine.queue.end_of(job_id, 10 * PATIENCE_SECONDS) is None


async def test_each_can_cancel_what_another_runs(start_queue: StartQueue, gate: Gate) -> None:
    one, other = await start_queue(), await start_queue()
    async with watching(one) as ones, watching(other) as others:
        job_id = await submit(one, gate.shell)
        for watch in (ones, others):
            await watch.reached(job_id, JobPhase.RUNNING)
        await other.cancel(job_id, cancelled_by("bob"))
        for watch in (ones, others):
            assert (await watch.ended(job_id))["Status"] == "Cancelled"


async def test_a_pause_holds_for_all(start_queue: StartQueue) -> None:
    one, other = await start_queue(), await start_queue()
    await one.set_paused(True)
    job_id = await submit(other)
    assert (await other.summary()).is_paused
    assert await phase(one, job_id) is JobPhase.QUEUED
    await other.set_paused(False)

    async def has_ended() -> bool:
        return await other.get(job_id) is None

    await until_answered(has_ended, "the end of a job that waited for a pause to end")


async def test_the_first_jobs_of_users_that_come_at_once_are_all_there(start_queue: StartQueue) -> None:
    queues = [await start_queue() for _ in range(3)]
    await queues[0].set_paused(True)
    users = [f"user{number}" for number in range(40)]
    accepted = {
        job_id
        for user in users
        for job_id in await asyncio.gather(*(submit(queue, user_id=user) for queue in queues))
    }
    waiting = JobQuery(frozenset({JobPhase.QUEUED}), len(accepted))
    assert {state.job.job_id for state in await queues[0].find(waiting)} == accepted


async def test_no_more_wait_than_may_in_all_together(start_queue: StartQueue) -> None:
    queues = [await start_queue(), await start_queue()]
    await queues[0].set_paused(True)
    most = MostWaiting(5, 1_000_000)
    results = await asyncio.gather(
        *(queue.submit(submission(), is_new=True, most_waiting=most) for _ in range(10) for queue in queues),
        return_exceptions=True,
    )
    assert results.count(None) == 5
    assert sum(isinstance(result, TooManyPendingError) for result in results) == 15
