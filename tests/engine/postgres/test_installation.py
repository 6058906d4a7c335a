"""An installation in a database: who belongs to it, and what happens when the database does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from aiohttp_jobs.errors import BusyError, ConfigurationError, RightsUnavailableError, StorageUnavailableError

from ...gate import PATIENCE_SECONDS
from ...postgres import PostgresServer
from ...scheduling.support import START, make_schedule
from ...tcp_proxy import TcpProxy
from .support import installation

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

import psycopg
from psycopg_pool import PoolTimeout

from aiohttp_jobs.engine.postgres.database import Database, Reachable

if TYPE_CHECKING:
    from aiohttp_jobs.engine.postgres.installation import PostgresInstallation

Start = Callable[..., "PostgresInstallation"]
JOB_ID = "a7f3e8d9-4b2c-4f5a-9e7d-6c8b3a2f1e0d"


@pytest.fixture
def start(postgres: str) -> Iterator[Start]:
    """Starts what one more process has of the installation."""
    with ExitStack() as stack:

        def start(**settings: Any) -> PostgresInstallation:
            made = installation(postgres, **settings)
            made.open()
            stack.callback(made.close)
            return made

        yield start


def test_a_database_without_tables_says_what_to_do(bare_postgres: str) -> None:
    with pytest.raises(ConfigurationError, match="Run 'aiohttp-jobs db upgrade'"):
        installation(bare_postgres).open()


def test_a_process_with_another_secret_does_not_start(start: Start, postgres: str) -> None:
    start().close()
    with pytest.raises(ConfigurationError, match="hosts and workers with another secret"):
        installation(postgres, secret=b"a secret of its own").open()
    start()


def test_a_look_that_finds_nothing_new_is_one_statement_that_reads_no_record(start: Start) -> None:
    kept = start()
    kept.schedules.add(make_schedule())
    assert kept.schedules.has_changed()
    assert len(kept.schedules.all()) == 1
    assert not kept.schedules.has_changed()


def test_what_somebody_holds_for_long_is_busy(postgres: str) -> None:
    database = Database(postgres, lock_seconds=0.1)
    database.open()
    try:
        with psycopg.connect(postgres) as other:
            other.execute("LOCK TABLE aiohttp_jobs.record_kinds")
            with pytest.raises(BusyError):
                database.rows("SELECT * FROM aiohttp_jobs.record_kinds")
        assert database.rows("SELECT * FROM aiohttp_jobs.record_kinds")
    finally:
        database.close()


async def test_a_machine_that_is_too_busy_to_answer_at_once_is_waited_for_at_the_start(
    postgres: str, postgres_server: PostgresServer
) -> None:
    async with TcpProxy(postgres_server.socket) as proxy:
        through = f"{postgres.partition('?')[0]}?host=127.0.0.1&port={proxy.port}"
        database = Database(through, wait_seconds=0.05)
        proxy.cut()
        opening = asyncio.create_task(asyncio.to_thread(database.open))
        await asyncio.sleep(0.5)
        assert not opening.done()
        proxy.mend()
        await opening
        assert await asyncio.to_thread(database.row, "SELECT 1") == (1,)
        await asyncio.to_thread(database.close)


def test_a_database_of_which_more_ask_than_there_are_connections_is_not_taken_for_away() -> None:
    reachable = Reachable()

    def ask(*, while_another_is_served: bool) -> float:
        with reachable.asking() as seconds:
            if while_another_is_served:
                reachable.reached()
            raise PoolTimeout(seconds)

    waits = []
    for while_another_is_served in (True, False, False):
        with pytest.raises(PoolTimeout) as none:
            ask(while_another_is_served=while_another_is_served)
        waits += none.value.args
    assert waits[0] == waits[1] > waits[2]


async def test_connections_that_were_cut_are_replaced_before_anybody_meets_them(
    start: Start, postgres: str, postgres_server: PostgresServer
) -> None:
    kept = start()
    kept.schedules.add(make_schedule())
    database = postgres.split("/")[3].split("?", maxsplit=1)[0]
    with psycopg.connect(postgres_server.dsn(database, "postgres"), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert len(kept.schedules.all()) == 1
    assert (await kept.api_keys.now()).get(JOB_ID) is None


async def test_a_database_that_is_gone_is_said_so_and_not_the_callers_fault(
    postgres_server: PostgresServer,
) -> None:
    name = postgres_server.create_upgraded()
    kept = installation(postgres_server.dsn(name))
    kept.open()
    postgres_server.drop(name)
    with pytest.raises(StorageUnavailableError) as away:
        kept.schedules.all()
    assert isinstance(away.value, OSError)
    assert away.value.retry_after
    with pytest.raises(RightsUnavailableError, match="database is away"):
        await kept.api_keys.now()
    kept.close()


def test_a_moment_whose_answer_was_lost_is_not_lost(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim is in the database, and the process that has it does not know."""
    kept, other = start(), start()
    schedule = make_schedule()
    kept.schedules.add(schedule)
    change = kept.database.change

    def lose_the_answer(*asked: Any) -> int:
        change(*asked)
        raise StorageUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(kept.database, "change", lose_the_answer)
        with pytest.raises(StorageUnavailableError):
            kept.fired_moments.take(schedule.schedule_id, START, JOB_ID)
    assert kept.fired_moments.take(schedule.schedule_id, START, JOB_ID) is None
    assert other.fired_moments.take_over() == []
    (mine,) = kept.fired_moments.take_over()
    assert (mine.moment, mine.job_id) == (START, JOB_ID)
    assert kept.fired_moments.take_over() == []
    kept.fired_moments.finish(mine)


def test_a_process_that_is_not_heard_of_leads_no_longer(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, other = start(stall_seconds=2.0), start(stall_seconds=2.0)
    assert kept.notices.lead()
    assert not other.notices.lead()

    rows = Database.rows

    def go_away(database: Database, *asked: Any) -> list[Any]:
        if kept.presence.process_id in str(asked):
            raise StorageUnavailableError
        return rows(database, *asked)

    monkeypatch.setattr(Database, "rows", go_away)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not other.notices.lead():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # It knew so first, without having been told.
    assert not kept.presence.is_certain
    assert not kept.notices.lead()


def test_what_ends_a_processs_commands_is_told_that_it_was_heard_of_before_it_may_begin_another(
    start: Start,
) -> None:
    kept = start(stall_seconds=3600.0)
    kept.close()
    certain: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept.presence, "on_held", lambda until: certain.append(kept.presence.is_certain))
        patch.setattr(Database, "rows", lambda database, *asked: [(False,)])
        kept.presence.be_heard()
    assert certain == [False]
    assert kept.presence.is_certain
