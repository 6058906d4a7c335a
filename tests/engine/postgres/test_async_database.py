"""What those are told who ask the database from the event loop when it answers late, or not at all."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

import psycopg

from aiohttp_jobs.engine.base import TooSlowError
from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase
from aiohttp_jobs.engine.postgres.database import DatabaseUnavailableError
from aiohttp_jobs.engine.postgres.results import PostgresResults
from aiohttp_jobs.model.job import utc_now
from aiohttp_jobs.model.results import Bucket, ResultFilter, Sort, StatsFilter


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[AsyncDatabase]:
    database = AsyncDatabase(postgres, seconds=0.5)
    await database.open()
    yield database
    await database.close()


async def test_a_question_that_takes_too_long_is_given_up_and_the_next_is_answered(
    database: AsyncDatabase,
) -> None:
    with pytest.raises(TooSlowError):
        await database.rows("SELECT pg_sleep(60)")
    assert await database.row("SELECT 1") == (1,)


async def test_whoever_asks_waits_for_no_lock_for_ever(postgres: str, database: AsyncDatabase) -> None:
    results = PostgresResults(database, search_bytes=1000)
    holder = AsyncDatabase(postgres)
    await holder.open()
    wanted = StatsFilter(None, utc_now(), utc_now(), Bucket.DAY)
    async with holder.transaction() as connection:
        await connection.execute("LOCK TABLE aiohttp_jobs.results")
        with pytest.raises(TooSlowError):
            await results.page(ResultFilter("alice"), Sort.COMPLETED_DOWN, None, 1)
        with pytest.raises(TooSlowError):
            await results.statistics(wanted)
    assert (await results.page(ResultFilter("alice"), Sort.COMPLETED_DOWN, None, 1)).records == []
    await holder.close()


async def test_a_connection_that_was_cut_is_told_of_once_and_then_there_is_another(
    postgres: str, database: AsyncDatabase
) -> None:
    other = AsyncDatabase(postgres)
    await other.open()

    async def ask_while_it_is_cut() -> None:
        async with database.connection() as connection:
            await other.rows("SELECT pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))
            await connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailableError):
        await ask_while_it_is_cut()
    assert await database.row("SELECT 1") == (1,)
    await other.close()


async def test_a_server_that_is_not_there_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp_jobs.engine.postgres.async_database.WAIT_SECONDS", 0.2)
    database = AsyncDatabase(f"postgresql://jobs@/nowhere?host={tmp_path}")
    await database.open()
    with pytest.raises(DatabaseUnavailableError):
        await database.row("SELECT 1")
    await database.close()


async def test_a_connection_that_was_cut_while_nobody_used_it_is_not_lent(
    postgres: str, database: AsyncDatabase
) -> None:
    """As when the server was restarted: what it sent at its end is seen, without a question each time."""
    (first,) = await database.rows("SELECT pg_backend_pid()")
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as other:
        await other.execute("SELECT pg_terminate_backend(%s, 10000)", first)
    (second,) = await database.rows("SELECT pg_backend_pid()")
    assert second != first


async def test_a_question_that_nobody_answers_is_given_up_and_the_next_is_asked_by_another_connection(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the server's machine lives and what serves the connection is stopped."""
    monkeypatch.setattr("aiohttp_jobs.engine.postgres.async_database.LATE_SECONDS", 0.5)
    database = AsyncDatabase(postgres, most=1, seconds=1.0)
    await database.open()
    ((server,),) = await database.rows("SELECT pg_backend_pid()")
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailableError):
            await database.rows("SELECT 1")
        while True:
            with suppress(DatabaseUnavailableError):
                ((other,),) = await database.rows("SELECT pg_backend_pid()")
                break
        assert other != server
    finally:
        os.kill(server, signal.SIGCONT)
        await database.close()
