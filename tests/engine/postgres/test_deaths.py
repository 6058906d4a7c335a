"""Hosts that die, stop, come back and lose their database: each job has one verdict, and nothing runs on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.base import MISSED, JobChange, JobQueue
from aiohttp_jobs.errors import ConfigurationError
from aiohttp_jobs.model.job import JobPhase, RetryPolicy, new_job_id
from aiohttp_jobs.model.output import Span

from ...conftest import is_alive
from ...contract.jobs import submit
from ...gate import PATIENCE_SECONDS, Gate, until, until_answered
from ...postgres import PostgresServer
from ...processes import children
from ...tcp_proxy import TcpProxy
from .host import started

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

from aiohttp_jobs.engine.postgres.listening import until_it_listens

if TYPE_CHECKING:
    from aiohttp_jobs.engine.postgres.engine import PostgresEngine

STALL = 4.0
Start = Callable[..., Awaitable["PostgresEngine"]]


@asynccontextmanager
async def other_host(
    dsn: str, folder: Path, stall: float = STALL
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A host in a process of its own, which runs jobs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.engine.postgres.host", dsn, str(folder), str(stall),
        stdin=-1, stdout=-1,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS) == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


@pytest.fixture
async def start(postgres: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts hosts in this process."""
    async with AsyncExitStack() as stack:

        async def start(stall: float = STALL, **settings: Any) -> PostgresEngine:
            return await started(postgres, tmp_path / "here", stall, stack, **settings)

        yield start


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def running_there(queue: JobQueue, gate: Gate, **fields: Any) -> tuple[str, int]:
    """A job that runs in another process, as this one runs none: its id, and the pid of its command."""
    job_id = await submit(queue, f"echo begun; {gate.shell}", **fields)
    await gate.reached()
    return job_id, gate.pids[0]


async def started_by(host: int, arguments: list[str]) -> int:
    """The pid of a process with that command line, once there is one."""
    found: list[int] = []

    def is_there() -> bool:
        found[:] = [each.pid for each in children(lambda line: line == arguments, host)]
        return bool(found)

    await until(is_there, "the command")
    return found[0]


async def result_of(queue: JobQueue, job_id: str) -> dict[str, Any]:
    record = await queue.end_of(job_id, PATIENCE_SECONDS)
    assert record is not None
    return record


async def result_after_outage(queue: JobQueue, job_id: str) -> dict[str, Any]:
    """The same, where the database is back and not every connection is yet."""
    found: list[dict[str, Any]] = []

    async def has_ended() -> bool:
        with suppress(OSError):
            found.append(await result_of(queue, job_id))
        return bool(found)

    await until_answered(has_ended, "the result")
    return found[0]


async def gone(pid: int) -> None:
    await until(lambda: not is_alive(pid), "the end of the command")


@pytest.fixture
async def idle(start: Start) -> PostgresEngine:
    """A host that has no place for background jobs, so that others run them."""
    return await start(places=None)


async def test_a_job_of_a_host_that_was_killed_is_interrupted_with_what_it_had_printed(
    idle: PostgresEngine, postgres: str, tmp_path: Path, gate: Gate
) -> None:
    async with other_host(postgres, tmp_path / "there") as host:
        job_id, pid = await running_there(idle.queue, gate)

        async def is_copied() -> bool:
            state = await idle.queue.get(job_id)
            return state is not None and state.output_size > 0

        await until_answered(is_copied, "a copy of the output")
        host.kill()
        record = await result_of(idle.queue, job_id)
    assert (record["Status"], record["Success"]) == ("Interrupted", False)
    assert record["Output"].startswith("begun\n[ERROR] The server stopped while the job was running.")
    await gone(pid)
    assert len(gate.pids) == 1


async def test_one_that_asked_for_it_is_tried_again_elsewhere(
    start: Start, postgres: str, tmp_path: Path, gate: Gate
) -> None:
    idle = await start(places=None)
    again = RetryPolicy(count=1, backoff_seconds=0, on=("Interrupted",))  # type: ignore[arg-type]
    async with other_host(postgres, tmp_path / "there") as host:
        job_id, pid = await running_there(idle.queue, gate, retry=again)
        host.kill()
        await host.wait()
        await start()
        await gate.reached(2)
        gate.open()
        record = await result_of(idle.queue, job_id)
    assert (record["Status"], record["Attempt"]) == ("Succeeded", 2)
    assert [attempt["Status"] for attempt in record["Attempts"]] == ["Interrupted", "Succeeded"]
    assert [each["Status"] for each in await idle.history.attempts_of(record)] == ["Interrupted"]
    await gone(pid)


async def test_a_host_that_was_stopped_and_comes_back_changes_no_verdict_and_runs_nothing_on(
    idle: PostgresEngine, postgres: str, tmp_path: Path, gate: Gate
) -> None:
    async with other_host(postgres, tmp_path / "there") as host:
        job_id, pid = await running_there(idle.queue, gate)
        host.send_signal(signal.SIGSTOP)
        record = await result_of(idle.queue, job_id)
        assert record["Status"] == "Interrupted"
        await gone(pid)
        host.send_signal(signal.SIGCONT)
        gate.open()
        # It is whole again, and runs what comes next.
        following = await submit(idle.queue, "echo next")
        assert (await result_of(idle.queue, following))["Output"] == "next\n"
        assert await idle.history.get_result(job_id) == record
    assert len(gate.pids) == 1


async def test_the_commands_of_a_host_that_is_stopped_are_ended_while_it_is_stopped(
    start: Start, postgres: str, tmp_path: Path, gate: Gate
) -> None:
    # Nobody else takes its jobs, so that nobody else can be who has ended them.
    idle = await start(3600.0, places=None)
    async with other_host(postgres, tmp_path / "there") as host:
        job_id, pid = await running_there(idle.queue, gate)
        # One that runs without a shell, whose end looks like that of one with a shell.
        simple_id = await submit(idle.queue, "sleep 3600")
        simple = await started_by(host.pid, ["sleep", "3600"])
        host.send_signal(signal.SIGSTOP)
        await gone(pid)
        await gone(simple)
        host.send_signal(signal.SIGCONT)
        records = [await result_of(idle.queue, each) for each in (job_id, simple_id)]
    assert [record["Status"] for record in records] == ["Interrupted", "Interrupted"]
    assert all("could not reach the database" in record["Output"] for record in records)


async def test_a_host_that_ends_normally_interrupts_its_jobs_at_once(
    idle: PostgresEngine, postgres: str, tmp_path: Path, gate: Gate
) -> None:
    async with other_host(postgres, tmp_path / "there", 3600.0) as host:
        job_id, pid = await running_there(idle.queue, gate)
        assert host.stdin is not None
        host.stdin.close()
        record = await result_of(idle.queue, job_id)
        assert record["Status"] == "Interrupted"
        assert "because the server shut down" in record["Output"]
        assert not is_alive(pid)
        assert await asyncio.wait_for(host.wait(), PATIENCE_SECONDS) == 0


@pytest.fixture(scope="module")
def stoppable(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped."""
    server = postgres_server.another()
    yield server
    server.close()


async def test_a_host_that_starts_while_the_database_is_away_waits_for_it(
    stoppable: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dsn = stoppable.dsn(stoppable.create_upgraded())
    await asyncio.to_thread(stoppable.stop)
    try:
        with pytest.raises(
            ConfigurationError, match=r"could not be reached for 0 s: .*No such file.*Start it"
        ):
            await until_it_listens(dsn, 0.0)
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(started(dsn, tmp_path / "here", STALL, stack))
            await until(lambda: "waited for, for 60 s at most" in caplog.text, "saying so")
            await asyncio.to_thread(stoppable.start)
            engine = await starting
            job_id = await submit(engine.queue, "true")
            assert (await result_of(engine.queue, job_id))["Status"] == "Succeeded"
    finally:
        if not stoppable.socket.exists():
            await asyncio.to_thread(stoppable.start)


async def test_a_host_whom_the_database_does_not_let_in_ends_at_once_and_says_why(
    postgres: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError, match='role "stranger" does not exist'):
            await started(postgres.replace("jobs@", "stranger@"), tmp_path / "here", STALL, stack)


async def test_jobs_go_on_while_the_database_is_away_for_long_and_have_their_verdicts_after_it(
    stoppable: PostgresServer, tmp_path: Path, gate: Gate
) -> None:
    dsn = stoppable.dsn(stoppable.create_upgraded())
    async with AsyncExitStack() as stack:
        engine = await started(dsn, tmp_path / "here", STALL, stack)
        # It would take the job, as soon as it may.
        await started(dsn, tmp_path / "there", STALL, stack, places=None)
        job_id = await submit(engine.queue, f"{gate.shell}; echo done")
        await gate.reached()
        await asyncio.to_thread(stoppable.stop)
        try:
            await asyncio.sleep(1.5 * STALL)
            assert is_alive(gate.pids[0])
            gate.open()
            await gone(gate.pids[0])
            with pytest.raises(OSError, match="database cannot be reached"):
                await engine.history.was_used(job_id)
        finally:
            await asyncio.to_thread(stoppable.start)
        record = await result_after_outage(engine.queue, job_id)
        assert (record["Status"], record["Output"]) == ("Succeeded", "done\n")
    assert len(gate.pids) == 1


async def test_a_verdict_that_could_not_be_given_is_given_by_the_next_process_on_the_folder(
    stoppable: PostgresServer, tmp_path: Path, gate: Gate
) -> None:
    dsn = stoppable.dsn(stoppable.create_upgraded())
    folder = tmp_path / "here"
    async with AsyncExitStack() as stack:
        engine = await started(dsn, folder, STALL, stack)
        job_id = await submit(engine.queue, f"{gate.shell}; echo done")
        await gate.reached()
        await asyncio.to_thread(stoppable.stop)
        gate.open()
        await until(lambda: list(folder.rglob("verdict.json")), "a verdict on disk")
    (kept,) = folder.rglob("verdict.json")
    # One that somebody has written by hand beside it counts for nothing.
    forged = kept.parent.parent / "forged"
    forged.mkdir()
    (forged / kept.name).write_text(kept.read_text().replace("done", "fake"))
    await asyncio.to_thread(stoppable.start)
    async with AsyncExitStack() as stack:
        engine = await started(dsn, folder, STALL, stack)
        record = await result_after_outage(engine.queue, job_id)
        assert (record["Status"], record["Output"]) == ("Succeeded", "done\n")
    assert len(gate.pids) == 1


async def test_a_host_that_is_cut_off_ends_its_jobs_before_others_may_start_them(
    stoppable: PostgresServer, tmp_path: Path, gate: Gate
) -> None:
    import psycopg  # noqa: PLC0415 - it may be missing

    dsn = stoppable.dsn(stoppable.create_upgraded())
    age = "SELECT extract(epoch FROM clock_timestamp() - max(heard_at))::float8 FROM aiohttp_jobs.processes"
    async with TcpProxy(stoppable.socket) as proxy, AsyncExitStack() as stack:
        through = f"{dsn.partition('?')[0]}?host=127.0.0.1&port={proxy.port}"
        engine = await started(through, tmp_path / "here", STALL, stack)
        job_id = await submit(engine.queue, gate.shell)
        await gate.reached()
        proxy.cut()
        with psycopg.connect(dsn, autocommit=True) as others:
            # It is asked first what others think, so that it does not matter how late this test itself is.
            while others.execute(age).fetchall()[0][0] < STALL:
                await asyncio.sleep(0.05)
            assert not is_alive(gate.pids[0])
        proxy.mend()
        record = await result_after_outage(engine.queue, job_id)
        assert record["Status"] == "Interrupted"
        assert "could not reach the database" in record["Output"]


async def test_a_cancellation_reaches_another_host_at_once(
    idle: PostgresEngine, postgres: str, tmp_path: Path, gate: Gate
) -> None:
    from aiohttp_jobs.engine.base import cancelled_by  # noqa: PLC0415

    # So long a stall time that nothing but the notification can be what reaches it.
    async with other_host(postgres, tmp_path / "there", 3600.0):
        job_id, pid = await running_there(idle.queue, gate)
        state = await idle.queue.get(job_id)
        assert state is not None
        assert state.phase is JobPhase.RUNNING
        await idle.queue.cancel(job_id, cancelled_by("bob"))
        record = await result_of(idle.queue, job_id)
    assert (record["Status"], record["CancelledBy"]) == ("Cancelled", "bob")
    assert not is_alive(pid)
    assert os.getpid() != pid


async def test_what_a_job_prints_is_copied_while_somebody_watches_and_only_its_beginning_otherwise(
    idle: PostgresEngine, postgres: str, tmp_path: Path, gate: Gate
) -> None:
    import psycopg  # noqa: PLC0415 - it may be missing

    def copied() -> int:
        with psycopg.connect(postgres) as connection:
            query = "SELECT coalesce(sum(length(data)), 0)::bigint FROM aiohttp_jobs.output_chunks"
            return int(connection.execute(query).fetchall()[0][0])

    size = 2_000_000
    async with other_host(postgres, tmp_path / "there", 3600.0):
        job_id = await submit(idle.queue, f"yes | head -c {size}; {gate.shell}")
        await gate.reached()
        beginning = JobsConfig.model_fields["max_output_bytes"].default // 2
        await until(lambda: copied() >= beginning, "the beginning being copied")
        await asyncio.sleep(0.6)
        assert copied() == beginning
        state = await idle.queue.get(job_id)
        assert state is not None
        output = await idle.outputs.live(state)

        async def is_copied() -> bool:
            await idle.outputs.live(state)  # who watches says so again and again, and is forgotten otherwise
            return copied() == size

        await until_answered(is_copied, "all being copied")
        end = await output.read(size - 10)
        assert (end.offset, end.data) == (size - 10, b"y\n" * 5)
        gate.open()
        record = await result_of(idle.queue, job_id)
    kept = idle.outputs.kept(record)
    assert await kept.spans() == [Span(0, size)]


async def test_a_host_tells_of_results_that_another_deletes(start: Start) -> None:
    one, other = await start(), await start()
    job_id = await submit(one.queue)
    assert await one.queue.end_of(job_id, PATIENCE_SECONDS) is not None
    changes: list[JobChange] = []
    async with other.queue.watch(changes.append):
        assert await one.results.delete([job_id]) == 1
        await until(lambda: JobChange("alice", job_id) in changes, "news of a deleted result")


async def test_who_watches_looks_anew_when_a_host_could_not_hear_the_others(
    idle: PostgresEngine, postgres: str
) -> None:
    import psycopg  # noqa: PLC0415 - it may be missing

    changes: list[JobChange] = []
    async with idle.queue.watch(changes.append):
        waiting = idle.queue.next_change(new_job_id())
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'aiohttp-jobs events'"
            )
        await until(lambda: MISSED in changes, "that something may have been missed")
        assert waiting.done()
