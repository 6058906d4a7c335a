"""Who runs which job: what it needs, who offers that, what it waits for, and who takes no more."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

import psycopg

from aiohttp_jobs.engine.base import JobQuery, Limits
from aiohttp_jobs.engine.postgres import dispatcher
from aiohttp_jobs.engine.postgres.jobs import JobTable
from aiohttp_jobs.engine.postgres.offered_interpreters import OfferedInterpreters
from aiohttp_jobs.engine.postgres.offers import offers_of
from aiohttp_jobs.engine.postgres.presence import AboutProcess
from aiohttp_jobs.engine.postgres.workforce import PostgresWorkforce
from aiohttp_jobs.functions.registry import Functions
from aiohttp_jobs.model.job import ExecutionMode, InterpreterName, JobPhase

from ...contract.jobs import MOST, submission, submit
from ...gate import PATIENCE_SECONDS, Gate, until
from ...postgres import PostgresServer
from .host import started
from .support import installation

STALL = 5.0
BACKGROUND = ExecutionMode.BACKGROUND_JOB
QUEUED = JobQuery(frozenset({JobPhase.QUEUED}), 10)


class Worker:
    """A process with these labels and functions, which claims jobs and runs none."""

    def __init__(self, dsn: str, stack: ExitStack, *labels: str, functions: Functions | None = None) -> None:
        offers = offers_of(labels, functions or Functions(), [InterpreterName.SHELL])
        about = AboutProcess(
            kind="worker", name="-".join(labels), labels=labels, offers=offers, places={BACKGROUND: 4}
        )
        kept = installation(dsn, stall_seconds=STALL, about=about)
        kept.open()
        stack.callback(kept.close)
        self.id = kept.presence.process_id
        self.presence = kept.presence
        self.table = JobTable(kept.database, self.id, kept.signer("submission"), STALL, offers)
        self.workforce = PostgresWorkforce(kept.database, self.id, STALL)

    def submit(self, **fields: Any) -> str:
        job = submission(**fields)
        self.table.submit(job, MOST, only_here=False)
        return job.job_id

    def claim(self) -> list[str]:
        claims = self.table.ask(self.table.to_claim({BACKGROUND: 4}, Limits({}), 600.0, uuid.uuid4())).claims
        return [claim.job_id for claim in claims]

    def waits_for(self, job_id: str) -> str | None:
        state = self.table.get(job_id)
        assert state is not None
        return state.waiting_for


Start = Callable[..., Worker]


@pytest.fixture
def start(postgres: str) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda *labels, **settings: Worker(postgres, stack, *labels, **settings)


def registered(version: str | None = None) -> Functions:
    functions = Functions()

    @functions.function(version=version)
    async def report(month: int) -> None: ...

    return functions


def test_a_job_goes_to_a_worker_that_has_all_its_labels(start: Start) -> None:
    plain, linux, both = start(), start("linux"), start("linux", "gpu")
    job_id = plain.submit(labels=("gpu", "linux"))
    assert plain.claim() == linux.claim() == []
    assert both.claim() == [job_id]


def test_a_job_without_labels_goes_to_anybody(start: Start) -> None:
    worker = start("linux")
    job_id = worker.submit()
    assert worker.claim() == [job_id]


def test_what_a_worker_cannot_run_holds_up_nothing_that_it_can(start: Start) -> None:
    worker = start()
    for _ in range(70):  # more than the first ones of a user that are looked at
        worker.submit(labels=("gpu",))
    job_id = worker.submit()
    assert worker.claim() == [job_id]


def test_a_job_in_a_language_goes_to_a_worker_that_has_it(start: Start) -> None:
    worker = start()
    job_id = worker.submit(interpreter=InterpreterName.POWERSHELL)
    assert worker.claim() == []
    assert worker.waits_for(job_id) == (
        "No worker that runs now has the interpreter powershell. The job waits until one does."
    )


def test_two_releases_of_a_function_run_side_by_side(start: Start) -> None:
    old, new = registered("1"), registered("2")
    worker, other = start(functions=old), start(functions=new)
    job = {"function": "report", "interpreter": InterpreterName.PYTHON}
    first = worker.submit(function_version="1", **job)
    second = worker.submit(function_version="2", **job)
    assert other.claim() == [second]
    assert worker.claim() == [first]


def test_another_signature_is_another_version() -> None:
    functions, other = registered(), Functions()

    @other.function()
    async def report(month: int, year: int) -> None: ...

    same = functions.get("report")
    assert same is not None
    assert same.version == registered().get("report").version  # type: ignore[union-attr]
    assert same.version != report.version


def test_a_job_says_what_it_waits_for_until_somebody_offers_it(start: Start) -> None:
    worker = start("linux")
    job_id = worker.submit(labels=("gpu",))
    sentence = "No worker that runs now has the label gpu. The job waits until one does."
    assert worker.waits_for(job_id) == sentence
    assert [state.waiting_for for state in worker.table.find(QUEUED)] == [sentence]
    start("gpu")
    assert worker.waits_for(job_id) is None


def test_labels_that_nobody_has_together_are_waited_for(start: Start) -> None:
    worker, _ = start("linux"), start("gpu")
    assert worker.waits_for(worker.submit(labels=("gpu", "linux"))) == (
        "No worker that runs now has the label gpu and the label linux together. "
        "The job waits until one does."
    )


def test_a_kind_of_job_that_nobody_runs_is_waited_for(start: Start) -> None:
    worker = start()
    assert worker.waits_for(worker.submit(execution_mode=ExecutionMode.RUNSPACE)) == (
        "No worker that runs now takes jobs of the kind Runspace. The job waits until one does."
    )


async def test_all_are_shown_with_what_they_run(start: Start) -> None:
    worker, other = start("gpu", "linux"), start()
    job_id = other.submit(labels=("gpu",))
    worker.claim()
    shown = {each.worker_id: each for each in await other.workforce.all()}
    found = shown[worker.id]
    assert (found.kind, found.name, found.labels) == ("worker", "gpu-linux", ("gpu", "linux"))
    assert [each.job_id for each in found.running] == [job_id]
    assert found.is_alive
    assert not found.is_draining
    assert shown[other.id].running == ()


async def test_one_that_is_drained_takes_no_more_and_learns_of_it(start: Start) -> None:
    worker, other = start("gpu"), start()
    learned: list[str] = []
    worker.presence.on_drain = lambda: learned.append(worker.id)
    job_id = other.submit(labels=("gpu",))
    await other.workforce.drain(worker.id)
    assert worker.claim() == []
    assert "has the label gpu" in (other.waits_for(job_id) or "")
    worker.presence.be_heard()
    worker.presence.be_heard()
    assert learned == [worker.id]


async def test_nobody_is_drained_by_an_id_that_there_is_not(start: Start) -> None:
    worker = start()
    for worker_id in (str(uuid.uuid4()), "nonsense"):
        assert await worker.workforce.kind_of(worker_id) is None


def test_a_process_of_the_release_before_leaves_alone_what_needs_something(
    start: Start, postgres: str
) -> None:
    worker = start()
    worker.submit()
    claim = "SELECT job_id FROM aiohttp_jobs.claim_1(%s, %s, %s, NULL, NULL, 600, 5)"
    with psycopg.connect(postgres) as connection:
        asked = (worker.id, uuid.uuid4(), json.dumps({BACKGROUND: 4}))
        assert connection.execute(claim, asked).fetchall() == []
        connection.execute("UPDATE aiohttp_jobs.jobs SET needs = '{}'")
        assert len(connection.execute(claim, asked).fetchall()) == 1


def test_a_job_that_was_claimed_in_vain_keeps_its_place(start: Start) -> None:
    worker, other = start(), start()
    first, second = worker.submit(), worker.submit()
    (claim, _) = worker.table.ask(
        worker.table.to_claim({BACKGROUND: 4}, Limits({}), 600.0, uuid.uuid4())
    ).claims
    worker.table.give_back(claim)
    assert other.claim() == [first]
    assert second not in other.claim()


async def test_others_look_for_a_job_when_it_comes_and_not_when_it_is_claimed_or_ends(
    postgres: str, tmp_path: Path
) -> None:
    """Each look is a claim of each process, one after the other: with a thousand of them, a thousand."""
    with psycopg.connect(postgres, autocommit=True) as listening:
        listening.execute("LISTEN aiohttp_jobs")
        listening.execute("LISTEN aiohttp_jobs_news")
        async with AsyncExitStack() as stack:
            engine = await started(postgres, tmp_path, 30.0, stack)
            plain = await submit(engine.queue)
            # Its end lets another one start, which may wait for the same key.
            keyed = await submit(engine.queue, concurrency_key="printer")
            for job_id in (plain, keyed):
                while await engine.queue.get(job_id) is not None:
                    await engine.queue.next_change(job_id)
        heard = list(listening.notifies(timeout=1.0))
    # Which workers do not listen to.
    assert {each.channel for each in heard if " progress " in each.payload} == {"aiohttp_jobs_news"}
    said = [each.payload.split(" ") for each in heard]
    looks = Counter(job_id for _, what, job_id, *_ in said if what == "job")
    assert looks == {plain: 1, keyed: 2}
    assert {job_id for _, what, job_id, *_ in said if what == "progress"} == {plain, keyed}


async def test_a_process_does_not_look_for_another_job_after_each_that_it_has_run(
    postgres: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    # Nor does who waits for a job's result read it: it is told.
    postgres_server.set_for(postgres, track_functions="pl")
    jobs, started_at = 12, time.monotonic()
    async with AsyncExitStack() as stack:
        waiting = await started(postgres, tmp_path / "waiting", 30.0, stack, places=None)
        running = await started(postgres, tmp_path / "running", 30.0, stack)
        for number in range(jobs):
            job_id = await submit(waiting.queue, f"echo {number}")
            record = await waiting.queue.end_of(job_id, PATIENCE_SECONDS)
            assert record is not None
            assert record["Output"] == f"{number}\n"
            assert record == await running.history.get_result(job_id)
        # Each looks every five seconds by itself.
        by_itself = 2 * (3 + int((time.monotonic() - started_at) / 5))
    query = "SELECT sum(calls)::int FROM pg_stat_user_functions WHERE funcname = 'claim_4'"
    with psycopg.connect(postgres, autocommit=True) as connection:

        def looks() -> int:
            return int(connection.execute(query).fetchall()[0][0] or 0)

        await until(lambda: looks() >= jobs, "the sessions' counts")
        assert looks() <= jobs + by_itself


async def test_a_job_that_came_while_there_was_no_place_is_claimed_when_there_is_one(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        dispatcher, "_LOOK_SECONDS", 3600.0
    )  # so that nothing is found by looking now and then
    gate = Gate(tmp_path / "gate")
    async with AsyncExitStack() as stack:
        engine = await started(postgres, tmp_path / "host", 30.0, stack, places=1)
        first = await submit(engine.queue, gate.shell)
        await gate.reached()
        others = [await submit(engine.queue) for _ in range(3)]
        gate.open()
        for job_id in (first, *others):
            assert await engine.queue.end_of(job_id, PATIENCE_SECONDS) is not None


def test_an_interpreter_that_only_another_process_has_may_be_asked_for_while_that_lives(
    postgres: str,
) -> None:
    shell, powershell = InterpreterName.SHELL, InterpreterName.POWERSHELL
    with ExitStack() as stack:
        mine = installation(postgres, stall_seconds=STALL)
        mine.open()
        stack.callback(mine.close)
        known = OfferedInterpreters([shell], mine.database, STALL)
        there = installation(
            postgres, about=AboutProcess(kind="worker", offers=offers_of((), Functions(), [powershell]))
        )
        there.open()
        assert powershell not in known
        assert not known.has_news()
        assert {shell, powershell} == set(known)
        there.close()
        known.look()
        assert set(known) == {shell}
