"""Outputs that are too long for the database: hosts get their middle from the process that ran the job."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aiohttp_jobs.engine.base import JobOutput, Limits
from aiohttp_jobs.errors import OutputBusyError
from aiohttp_jobs.model.job import ExecutionMode, RetryPolicy
from aiohttp_jobs.model.output import Span

from ...contract.jobs import MOST, submission, submit
from ...gate import PATIENCE_SECONDS, Gate, until, until_answered
from .host import started
from .support import installation

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

import psycopg

from aiohttp_jobs.engine.postgres.jobs import JobTable
from aiohttp_jobs.engine.postgres.kept_logs import KeptLogs
from aiohttp_jobs.engine.postgres.run_folders import RunningFolders
from aiohttp_jobs.worker.output.segments import SegmentWriter

if TYPE_CHECKING:
    from aiohttp_jobs.engine.postgres.engine import PostgresEngine

STALL = 600.0
SMALL = {"max_output_bytes": 2048, "max_database_log_bytes": 128 * 1024}
"""So that little is long."""
LINES = "seq 100000 199999"
PRINTED = "".join(f"{n}\n" for n in range(100_000, 200_000)).encode()
EXCHANGE = "aiohttp_jobs.engine.postgres.log_exchange"
Start = Callable[..., Awaitable["PostgresEngine"]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, an answer is waited for."""
    for module in (EXCHANGE, EXCHANGE.replace("log_exchange", "log_requests")):
        monkeypatch.setattr(f"{module}.ANSWER_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
async def start(postgres: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts hosts in this process."""
    async with AsyncExitStack() as stack:

        async def start(name: str, *, on: AsyncExitStack = stack, **settings: Any) -> PostgresEngine:
            return await started(postgres, tmp_path / name, STALL, on, **{**SMALL, **settings})

        yield start


@pytest.fixture
async def reads(start: Start) -> PostgresEngine:
    """A host that runs no jobs."""
    return await start("host", places=None)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def ended(engine: PostgresEngine, command: str = LINES, **fields: Any) -> dict[str, Any]:
    """The result of a job that ran."""
    job_id = await submit(engine.queue, command, **fields)
    record = await engine.queue.end_of(job_id, PATIENCE_SECONDS)
    assert record is not None
    return record


async def whole(output: JobOutput, offset: int = 0) -> bytes:
    """All that is read from `offset` on, one piece after the other, while none is missing."""
    data = b""
    while (part := await output.read(offset + len(data))).data and part.offset == offset + len(data):
        data += part.data
    return data


def rows(dsn: str, table: str) -> int:
    with psycopg.connect(dsn) as connection:
        query = f"SELECT count(*) FROM aiohttp_jobs.{table}"
        return int(connection.execute(query.encode()).fetchall()[0][0])


async def test_the_middle_of_a_long_output_is_got_from_who_ran_the_job(
    reads: PostgresEngine, start: Start, postgres: str
) -> None:
    runs = await start("worker")
    record = await ended(reads)
    for engine in (reads, runs):
        kept = engine.outputs.kept(record)
        assert (kept.size, kept.complete) == (len(PRINTED), True)
        assert await kept.spans() == [Span(0, len(PRINTED))]
        assert await whole(kept) == PRINTED
        assert (await engine.outputs.kept(record).read(300_001, 5)).data == PRINTED[300_001:300_006]
    assert rows(postgres, "log_requests") == 0
    assert await reads.results.delete([record["JobID"]]) == 1
    assert (await reads.outputs.kept(record).read(300_001)).data == b""
    await until(lambda: rows(postgres, "kept_logs") == 0, "that the output goes with its result")


async def test_so_is_that_of_a_job_that_runs(reads: PostgresEngine, start: Start, gate: Gate) -> None:
    await start("worker")
    job_id = await submit(reads.queue, f"{LINES}; {gate.shell}")
    await gate.reached()

    async def is_copied() -> bool:
        state = await reads.queue.get(job_id)
        return state is not None and (await reads.outputs.live(state)).size == len(PRINTED)

    await until_answered(is_copied, "all being known to others")
    state = await reads.queue.get(job_id)
    assert state is not None
    output = await reads.outputs.live(state)
    assert await output.spans() == [Span(0, len(PRINTED))]
    assert await whole(output) == PRINTED
    gate.open()
    assert await reads.queue.end_of(job_id, PATIENCE_SECONDS) is not None


async def test_an_earlier_attempts_too(reads: PostgresEngine, start: Start) -> None:
    await start("worker")
    again = RetryPolicy(count=1, backoff_seconds=0)
    record = await ended(reads, f"{LINES}; false", retry=again)
    assert record["Attempt"] == 2
    (earlier,) = await reads.history.attempts_of(record)
    for each in (earlier, record):
        assert (await whole(reads.outputs.kept(each))).startswith(PRINTED)


async def test_without_who_ran_it_there_are_beginning_and_end(reads: PostgresEngine, start: Start) -> None:
    async with AsyncExitStack() as stack:
        await start("worker", on=stack)
        record = await ended(reads)
        kept = reads.outputs.kept(record)
        assert (await kept.read(300_000, 10)).offset == 300_000
    for output in (kept, reads.outputs.kept(record)):
        beginning, end = await output.spans()
        assert await whole(output) == PRINTED[: beginning.stop]
        assert await whole(output, end.start) == PRINTED[end.start :]
        assert (await output.read(beginning.stop)).offset == end.start
        assert (beginning.start, end.stop) == (0, len(PRINTED))
        assert end.start - beginning.stop > len(PRINTED) // 2


async def test_nobody_waits_for_a_process_of_an_older_release(
    reads: PostgresEngine, start: Start, postgres: str
) -> None:
    await start("worker")
    record = await ended(reads)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("UPDATE aiohttp_jobs.processes SET gives_output = false")
    assert len(await reads.outputs.kept(record).spans()) == 2
    assert rows(postgres, "log_requests") == 0


async def test_the_oldest_outputs_of_whoever_has_most_go_first(reads: PostgresEngine, start: Start) -> None:
    await start("worker", max_worker_log_bytes=3 * len(PRINTED))
    users = ("bob", "alice", "alice", "alice")
    records = [await ended(reads, user_id=user) for user in users]
    has_all = [len(await reads.outputs.kept(record).spans()) == 1 for record in records]
    assert has_all == [True, False, True, True]


async def test_many_who_read_at_once_all_get_theirs_and_leave_nothing(
    reads: PostgresEngine, start: Start, postgres: str
) -> None:
    await start("worker")
    record = await ended(reads)
    at = range(100_000, 500_000, 20_000)
    parts = await asyncio.gather(*(reads.outputs.kept(record).read(offset, 1000) for offset in at))
    assert [part.data for part in parts] == [PRINTED[offset : offset + 1000] for offset in at]
    assert rows(postgres, "log_requests") == 0


async def test_who_does_not_answer_is_waited_for_so_long_and_no_longer(
    reads: PostgresEngine, start: Start, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await start("worker")
    record = await ended(reads)
    await runs.outputs.exchange.close()  # as one that hangs: it lives, and does not answer
    monkeypatch.setattr(f"{EXCHANGE}.ANSWER_SECONDS", 3.0)
    kept = reads.outputs.kept(record)
    assert len(await kept.spans()) == 2
    assert "does not answer" in kept.left_out_because
    assert (await kept.read(300_000)).offset > 300_000  # and is not asked again
    await until(lambda: rows(postgres, "log_requests") == 0, "that the question is withdrawn")


async def test_one_users_readers_do_not_fill_the_table(
    reads: PostgresEngine, start: Start, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start("worker")
    alices, bobs = await ended(reads), await ended(reads, user_id="bob")
    monkeypatch.setattr(f"{EXCHANGE}.ANSWER_SECONDS", 1.0)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO aiohttp_jobs.log_requests"
            " (request_id, process_id, asker, user_id, asked_at, question)"
            " SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'alice',"
            " clock_timestamp() + interval '1 h', '{}' FROM generate_series(1, 8)"
        )
        with pytest.raises(OutputBusyError):
            await reads.outputs.kept(alices).read(300_000)
        monkeypatch.setattr(f"{EXCHANGE}.ANSWER_SECONDS", PATIENCE_SECONDS)
        assert (await reads.outputs.kept(bobs).read(300_000, 5)).data == PRINTED[300_000:300_005]
        connection.execute("DELETE FROM aiohttp_jobs.log_requests")
    assert (await reads.outputs.kept(alices).read(300_000, 5)).data == PRINTED[300_000:300_005]


async def test_a_verdict_that_was_given_late_is_not_left_beside_an_output_that_is_kept(
    postgres: str, tmp_path: Path
) -> None:
    kept = installation(postgres)
    kept.open()
    folders = RunningFolders(tmp_path / "Running" / "me")
    with closing(kept):
        folders.open()
        table = JobTable(kept.database, kept.presence.process_id, kept.signer("submission"), STALL)
        logs = KeptLogs(kept.database, kept.presence.process_id, folders, most=10_000, min_free=0)
        table.submit(submission(interpreter=None), MOST, only_here=False)
        (claim,) = table.ask(
            table.to_claim({ExecutionMode.BACKGROUND_JOB: 1}, Limits({}), 600.0, uuid.uuid4())
        ).claims
        made = folders.make()
        SegmentWriter(f"{made.run_dir}/log", 1, 1, 0).write(b"printed")
        folders.keep_verdict(made, {"Result": "of a time without a database"})
        await logs.keep(claim, 1, "alice", made)
        folders.remove(logs.without_kept(made))
        await until(lambda: not list(Path(made.run_dir).glob("verdict*")), "that the verdict goes")
        output = logs.find(claim.job_id, 1)
        assert output is not None
        assert (await output.read(0)).data == b"printed"
        folders.close()
        assert not list((tmp_path / "Running").glob("*/*"))
