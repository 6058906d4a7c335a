"""How much dearer results get in PostgreSQL when there are many of them: pages and searches.

Makes two databases, a small and a large one, and asks both the questions of ``results_scale`` in turn.

    python -m benchmarks.postgres_results --dsn postgresql://… [--small 10000] [--large 100000] [--rounds 5]

The role of the `dsn` has to be allowed to make databases; both are dropped at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase
from aiohttp_jobs.engine.postgres.migrations import upgrade_schema
from aiohttp_jobs.engine.postgres.months import Months, month_of
from aiohttp_jobs.engine.postgres.results import PostgresResults
from aiohttp_jobs.engine.searching import first_id

from .results_scale import USERS, one_round, questions

_PORTION = 50_000
_SECOND = first_id(1_000_000)

# One result a second until now, as `results_scale.record` makes them.
_FILL = """
INSERT INTO aiohttp_jobs.results
SELECT made.id, made.job_id, made.user_id, 'job ' || n %% 300,
    CASE WHEN n %% 4 = 0 THEN 'Failed' ELSE 'Succeeded' END, 'BackgroundJob', n %% 4 <> 0, made.id / 1024,
    made.runtime, 600,
    json_build_object('JobID', made.job_id, 'UserID', made.user_id, 'JobName', 'job ' || n %% 300,
        'Command', 'run --number ' || n %% 1000, 'Runtime', made.runtime, 'Success', n %% 4 <> 0),
    json_build_object('Output', array_to_string(made.words, ' ')), NULL, NULL,
    array_to_tsvector(array_cat(made.words, ARRAY[chr(31) || made.user_id, 'job', (n %% 300)::text, 'run',
        'number', (n %% 1000)::text]))
FROM (
    SELECT n, %(first)s + n * %(second)s AS id, gen_random_uuid() AS job_id,
        'user' || n %% %(users)s AS user_id, round((random() * 60)::numeric, 6)::float8 AS runtime,
        array_cat(
            array_cat(ARRAY['common'], CASE WHEN n %% 3 = 0 THEN ARRAY['often'] ELSE ARRAY[]::text[] END),
            array_cat(
                CASE WHEN n %% (%(count)s / 10) / %(users)s = 1 AND n %% %(users)s = 2 THEN ARRAY['rare']
                ELSE ARRAY[]::text[] END,
                ARRAY(SELECT 'word' || floor(random() * 2000 + 0 * n)::int FROM generate_series(1, 20))
            )
        ) AS words
    FROM generate_series(%(start)s::bigint, %(end)s::bigint) n
) made
"""
_ENDED = "INSERT INTO aiohttp_jobs.ended_jobs SELECT job_id, id FROM aiohttp_jobs.results"
_COUNTED = """
INSERT INTO aiohttp_jobs.kept_amounts
SELECT user_id, aiohttp_jobs.month_of(id), count(*), sum(size) FROM aiohttp_jobs.results GROUP BY 1, 2
"""


async def build(dsn: str, count: int) -> float:
    """A database with `count` results; the seconds it took."""
    started = time.perf_counter()
    upgrade_schema(dsn)
    first = first_id(int(time.time()) * 1_000_000) - count * _SECOND
    database = AsyncDatabase(dsn)
    await database.open()
    await Months(database).make(*range(month_of(first), month_of(first + count * _SECOND) + 1))
    await database.close()
    values = {"first": first, "second": _SECOND, "users": USERS, "count": count}
    with psycopg.connect(dsn, autocommit=True) as connection:
        for start in range(0, count, _PORTION):
            connection.execute(_FILL, values | {"start": start, "end": min(start + _PORTION, count) - 1})
        connection.execute(_ENDED)
        connection.execute(_COUNTED)
        connection.execute("VACUUM ANALYZE")
    return time.perf_counter() - started


@contextmanager
def databases(dsn: str, counts: Mapping[str, int]) -> Iterator[dict[str, str]]:
    """Empty databases of these names; the dsn of each."""
    names = {name: f"bench_{name}_{count}" for name, count in counts.items()}
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name in names.values():
            connection.execute(f"DROP DATABASE IF EXISTS {name}")
            connection.execute(f"CREATE DATABASE {name}")
        try:
            yield {name: make_conninfo(dsn, dbname=database) for name, database in names.items()}
        finally:
            for name in names.values():
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def measure(dsn: str, counts: Mapping[str, int], rounds: int, times: int) -> dict[str, Any]:
    """The medians of each question in each round, in milliseconds."""
    found: dict[str, dict[str, list[float]]] = {name: {size: [] for size in counts} for name in questions()}
    with databases(dsn, counts) as made:
        built = {size: await build(made[size], count) for size, count in counts.items()}
        async with AsyncExitStack() as stack:
            stores: dict[str, PostgresResults] = {}
            for size, each in made.items():
                database = AsyncDatabase(each)
                await database.open()
                stack.push_async_callback(database.close)
                stores[size] = PostgresResults(database, search_bytes=65536)
            for _ in range(rounds):
                for name, ask in questions().items():
                    for size, taken in (await one_round(stores, ask, times)).items():
                        found[name][size].append(statistics.median(taken))
    return {"built_s": built, "questions": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=12, help="how often each is asked in a round")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    counts = {"small": given.small, "large": given.large}
    found = asyncio.run(measure(given.dsn, counts, given.rounds, given.times))
    if given.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'':36} {given.small:>10,} {given.large:>10,}   ratio")
    for name, taken in found["questions"].items():
        few, many = (statistics.median(taken[size]) for size in counts)
        print(f"{name:36} {few:>7.2f} ms {many:>7.2f} ms {many / few:>7.2f}")
    print("built, s:", found["built_s"])


if __name__ == "__main__":
    main()
