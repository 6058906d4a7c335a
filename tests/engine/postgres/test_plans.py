"""The statements that are asked often look at few rows more than they find, however many there are.

Also where the database has no statistics, or those of another time, as after many results at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from json import dumps
from typing import Any, LiteralString

import pytest

pytest.importorskip("psycopg")

import psycopg

from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase
from aiohttp_jobs.engine.postgres.database import Row, Values
from aiohttp_jobs.engine.postgres.history import PostgresHistory
from aiohttp_jobs.engine.postgres.months import Months, month_of
from aiohttp_jobs.engine.postgres.results import PostgresResults
from aiohttp_jobs.engine.searching import first_id, id_text, microseconds
from aiohttp_jobs.model.job import utc_now
from aiohttp_jobs.model.results import ResultFilter, Sort
from aiohttp_jobs.model.search import parse_search

PAGE = 20
FEW = 600
"""Rows: what a search looks at first, and some pages more."""
DAY = 1440
"""The results of a day. It may look at them all where that is cheaper than the index of words and marks."""

# A result every minute until now, the last first, of ten users in turn.
_FILL = """
INSERT INTO aiohttp_jobs.results
SELECT %(now)s - n * 60000000::bigint * 1024, md5(n::text)::uuid, 'user' || n %% 10, 'job ' || n %% 50,
    CASE WHEN n %% 2000 = 1000 THEN 'Interrupted' ELSE 'Succeeded' END,
    CASE WHEN n %% 2000 = 13 THEN 'MainLoop' WHEN n %% 20 = 3 THEN 'BackgroundJob' ELSE 'Runspace' END,
    n %% 100 <> 0, n, n, 100,
    '{"JobID": "", "Status": "Succeeded"}', '{}',
    NULL, NULL,
    array_to_tsvector(ARRAY[chr(31) || 'user' || n %% 10, 'common', 'word' || n %% 500, 'one', 'n' || n])
FROM generate_series(%(start)s::bigint, %(end)s::bigint) n
"""
_ENDED = """
INSERT INTO aiohttp_jobs.ended_jobs SELECT job_id, id FROM aiohttp_jobs.results ON CONFLICT DO NOTHING
"""


# How much the transaction has read so far, by tables and indexes of results: also within functions.
_READ = """
SELECT coalesce(m.amname, 'table'), sum(pg_stat_get_xact_tuples_returned(c.oid))::bigint
FROM pg_class c LEFT JOIN pg_am m ON m.oid = c.relam AND c.relkind = 'i'
WHERE c.relname ~ '^results_[0-9]' AND c.relkind IN ('r', 'i') GROUP BY 1
"""


class Explained(AsyncDatabase):
    """Also has each statement of `rows` and `row` explained, while it runs.

    `read` has, for each plan, how many entries of each kind of index it read, and of a ``table`` as a whole.
    """

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.plans: list[dict[str, Any]] = []
        self.read: list[dict[str, int]] = []

    async def rows(self, query: LiteralString, values: Values = ()) -> list[Row]:
        async with self.transaction() as connection:
            before = dict(await (await connection.execute(_READ)).fetchall())
            cursor = await connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", values)
            self.plans.append((await cursor.fetchall())[0][0][0]["Plan"])
            after = await (await connection.execute(_READ)).fetchall()
        self.read.append({kind: count - before[kind] for kind, count in after})
        return await super().rows(query, values)

    async def row(self, query: LiteralString, values: Values = ()) -> Row | None:
        return next(iter(await self.rows(query, values)), None)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)


def looked_at(plan: dict[str, Any]) -> int:
    """How many rows of tables a statement looks at."""
    return sum(
        node["Actual Loops"]
        * (
            node["Actual Rows"]
            + node.get("Rows Removed by Filter", 0)
            + node.get("Rows Removed by Index Recheck", 0)
        )
        for node in nodes(plan)
        if "Relation Name" in node
    )


def fill(dsn: str, start: int, end: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        now = first_id(microseconds(utc_now()))
        connection.execute(_FILL, {"now": now, "start": start, "end": end})
        connection.execute(_ENDED)


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[Explained]:
    database = Explained(postgres)
    await database.open()
    now = month_of(first_id(microseconds(utc_now())))
    await Months(database).make(now - 1, now)
    database.plans.clear()
    yield database
    await database.close()


def analyse(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "VACUUM ANALYZE aiohttp_jobs.results, aiohttp_jobs.ended_jobs, aiohttp_jobs.kept_amounts"
        )


def questions(database: AsyncDatabase) -> dict[str, Callable[[], Awaitable[Any]]]:
    results = PostgresResults(database, search_bytes=1000)
    history = PostgresHistory(database, results, lambda _: None)

    def page(user_id: str | None, sort: Sort = Sort.COMPLETED_DOWN, q: str = "", **wanted: Any) -> Any:
        terms = parse_search(q) if q else ()
        return lambda: results.page(ResultFilter(user_id, terms=terms, **wanted), sort, None, PAGE)

    found = {
        f"{sort.value} of {user_id}": page(user_id, sort) for sort in Sort for user_id in ("user3", None)
    }
    return found | {
        "of a name": page("user3", name="job 13"),
        "names that begin alike": page("user3", Sort.NAME, name="job 1", name_is_prefix=True),
        "failures of a user": page("user3", success=False),
        "failures of all": page(None, success=False),
        "of somebody who has none": page("nobody"),
        "of an id": page("user3", id_digits="a" * 8),
        "common: a word": page("user3", q="common"),
        "rare: a word": page("user3", q="n13"),
        "rare: a word of all": page(None, q="n13"),
        "a word of some": page(None, q="word13"),
        "a word of some, and one that none of these has": page(None, q="word13 word14"),
        "a word of none": page("user3", q="nowhere"),
        "a mark: a rare status of all": page(None, statuses=("Interrupted",)),
        "a mark: a rare mode of all": page(None, modes=("MainLoop",)),
        "a mark: a rare mode of a user": page("user3", modes=("MainLoop",)),
        "a mark: a mode of a word": page(None, q="word13", modes=("MainLoop",)),
        "most marks: a mode": page("user3", modes=("Runspace",)),
        "some marks: a mode of one in twenty": page(None, modes=("BackgroundJob",)),
        "a word in a phrase": page("user3", q='"one n13"'),
        "rare: a word, by name": page("user3", Sort.NAME, q="n13"),
        "how the last one ended": lambda: history.previous_status("user3", "job 13", utc_now()),
        "one result": lambda: history.get_result(id_text(bytes(16))),
        "whether an id was used": lambda: history.was_used(id_text(bytes(16))),
        "kept bytes": lambda: results.kept_bytes("user3"),
        "owners": lambda: results.owners([id_text(bytes([n] * 16)) for n in range(100)]),
    }


@pytest.mark.parametrize("statistics", ["none", "of now", "of another time"])
@pytest.mark.parametrize("count", [1, 1000, 20_000])
async def test_no_statement_looks_at_many_more_rows_than_it_finds(
    postgres: str, database: Explained, count: int, statistics: str
) -> None:
    if statistics == "of another time":
        # A session that has asked before has the plans of the functions already.
        analyse(postgres)
        await ask_all(database)
        fill(postgres, 0, 0)
        analyse(postgres)
        await ask_all(database)
        fill(postgres, 1, count - 1)
    else:
        fill(postgres, 0, count - 1)
    if statistics == "of now":
        analyse(postgres)
    for name, ask in questions(database).items():
        database.plans.clear()
        database.read.clear()
        await ask()
        assert database.plans, name
        for plan, read in zip(database.plans, database.read, strict=True):
            kinds = [node["Node Type"] for node in nodes(plan)]
            if "Function Scan" in kinds:  # of the index of words and marks, by nothing else
                assert read["table"] + read["btree"] == 0, f"{name}: {read}"
                assert read["gin"] < FEW + DAY, f"{name}: {read}"
            assert "Seq Scan" not in kinds, f"{name}: {dumps(plan)}"
            if "a word" not in name and "a mark" not in name:
                assert looked_at(plan) < FEW, f"{name}: {dumps(plan)}"
            elif statistics == "of now":
                # Without, what has a rare word or mark is guessed to be as many as what is of some days.
                assert looked_at(plan) < FEW + DAY, f"{name}: {dumps(plan)}"


async def ask_all(database: Explained) -> None:
    for ask in questions(database).values():
        await ask()


async def test_a_page_far_back_costs_as_much_as_the_first(postgres: str, database: Explained) -> None:
    fill(postgres, 0, 19_999)
    results = PostgresResults(database, search_bytes=1000)
    for sort in Sort:
        cursor = None
        for _ in range(4):
            cursor = (await results.page(ResultFilter("user3"), sort, cursor, PAGE)).cursor
    assert max(map(looked_at, database.plans)) < FEW
