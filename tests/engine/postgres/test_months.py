"""The months that results lie in: there before they are needed, and gone at once when none is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

pytest.importorskip("psycopg")

from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase
from aiohttp_jobs.engine.postgres.months import Months, ids_of, month_of
from aiohttp_jobs.engine.postgres.results import PostgresResults
from aiohttp_jobs.engine.searching import first_id, microseconds
from aiohttp_jobs.model.job import utc_now
from aiohttp_jobs.model.results import ResultFilter, RetentionRules, Sort

from ...contract.results import result

_TABLES = """
SELECT c.relname FROM pg_class c WHERE c.relname ~ '^results_[0-9]' AND c.relkind = 'r' ORDER BY 1
"""
DAY = 86400.0


@pytest.fixture
def postgres(new_postgres: str) -> str:
    return new_postgres


@pytest.fixture
async def results(database: AsyncDatabase) -> AsyncIterator[PostgresResults]:
    results = PostgresResults(database, search_bytes=1000)
    await results.open()
    yield results
    await results.close()


async def tables(database: AsyncDatabase) -> list[str]:
    return [name for (name,) in await database.rows(_TABLES)]


async def count(results: PostgresResults) -> int:
    return len((await results.page(ResultFilter(None), Sort.COMPLETED, None, 100)).records)


@pytest.mark.parametrize("moment", ["1970-01-01", "2026-01-31T23:59:59.999999", "2026-12-01", "2255-01-01"])
def test_each_moment_is_in_its_month(moment: str) -> None:
    completed = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    place = first_id(microseconds(completed))
    first, end = ids_of(month_of(place))
    assert first <= place < end
    assert month_of(first) == month_of(end - 1) == completed.year * 12 + completed.month - 1
    assert ids_of(month_of(place) + 1)[0] == end


def test_the_last_month_has_all_that_is_later() -> None:
    last = first_id(microseconds(datetime(9999, 12, 31, tzinfo=UTC))) + 1023
    assert ids_of(month_of(last))[0] <= last < ids_of(month_of(last))[1]


async def test_months_are_made_ahead_once_however_many_processes_do_it(database: AsyncDatabase) -> None:
    await asyncio.gather(*(Months(database).make_ahead(datetime(2026, 11, 5, tzinfo=UTC)) for _ in range(4)))
    assert await tables(database) == ["results_2026_11", "results_2026_12", "results_2027_01"]


@pytest.mark.parametrize(
    "completed", ["0001-01-01T00:00:00Z", "2019-05-05T00:00:00Z", "9999-12-31T23:59:59Z"]
)
async def test_a_result_of_a_month_that_nobody_thought_of_is_kept(
    results: PostgresResults, completed: str
) -> None:
    await results.keep(result(DateCompleted=completed))
    assert await count(results) == 1


async def test_a_month_that_is_not_kept_is_dropped_with_all_in_it(
    results: PostgresResults, database: AsyncDatabase
) -> None:
    for completed in ("2020-01-01T00:00:00Z", "2020-01-31T00:00:00Z", "2020-03-05T00:00:00Z"):
        await results.keep(result(DateCompleted=completed))
    kept = result(DateCompleted=utc_now().isoformat())
    await results.keep(kept)
    size = await results.kept_bytes("alice")
    assert await results.delete_expired(RetentionRules(age=40 * DAY), 1) == 3
    assert not [name for name in await tables(database) if name.startswith("results_2020")]
    assert await count(results) == 1
    assert 0 < await results.kept_bytes("alice") < size / 3
    assert await results.delete_expired(RetentionRules(age=40 * DAY), 1) == 0


async def test_what_was_kept_beside_the_results_of_a_month_goes_with_it(
    results: PostgresResults, database: AsyncDatabase
) -> None:
    old, new = result(DateCompleted="2020-01-01T00:00:00Z"), result(DateCompleted=utc_now().isoformat())
    for each in (old, new):
        await results.keep(each)
        await database.rows(
            "INSERT INTO aiohttp_jobs.output_chunks VALUES (%s, 1, 0, 'printed') RETURNING start",
            (each["JobID"],),
        )
    assert await results.delete_expired(RetentionRules(age=40 * DAY), 1) == 1
    left = await database.rows("SELECT job_id FROM aiohttp_jobs.output_chunks")
    assert [str(job_id) for (job_id,) in left] == [new["JobID"]]


async def test_what_comes_late_for_a_month_that_was_dropped_is_kept_all_the_same(
    results: PostgresResults, postgres: str
) -> None:
    other_database = AsyncDatabase(postgres)
    await other_database.open()
    other = PostgresResults(other_database, search_bytes=1000)
    await results.keep(result(DateCompleted="2020-01-01T00:00:00Z"))
    assert await other.delete_expired(RetentionRules(age=DAY), 1) == 1
    await other_database.close()
    late = result(DateCompleted="2020-01-02T00:00:00Z")
    await results.keep(late)
    assert await results.owners([late["JobID"]]) == {late["JobID"]: "alice"}


async def test_a_month_that_was_only_half_dropped_is_dropped_the_next_time(
    results: PostgresResults, database: AsyncDatabase
) -> None:
    await results.keep(result(DateCompleted="2020-01-01T00:00:00Z"))
    async with database.connection() as connection:
        await connection.execute(
            "ALTER TABLE aiohttp_jobs.results DETACH PARTITION aiohttp_jobs.results_2020_01 CONCURRENTLY"
        )
    assert await results.delete_expired(RetentionRules(age=DAY), 1) == 1
    assert "results_2020_01" not in await tables(database)
    assert await results.kept_bytes("alice") == 0


async def test_a_month_is_dropped_while_others_read_and_keep_results(
    results: PostgresResults, database: AsyncDatabase
) -> None:
    await results.keep(result(DateCompleted="2020-01-01T00:00:00Z"))
    async with database.transaction() as connection:
        # A search that takes long, and has been at other months.
        await connection.execute("SELECT count(*) FROM aiohttp_jobs.results WHERE id > %s", (1 << 60,))
        dropping = asyncio.create_task(results.delete_expired(RetentionRules(age=DAY), 1))
        for _ in range(3):
            await results.keep(result(DateCompleted=utc_now().isoformat()))
            await asyncio.sleep(0.05)
        assert await count(results) >= 3
    assert await dropping == 1
