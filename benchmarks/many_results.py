"""Fills a database with results as jobs leave them, as many as are wanted, of the last twelve months.

The server makes the rows, of pieces of output whose words are the plugin's own. Measuring is left to
``postgres_results``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg

from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase
from aiohttp_jobs.engine.postgres.migrations import upgrade_schema
from aiohttp_jobs.engine.postgres.months import Months, month_of
from aiohttp_jobs.engine.postgres.result_rows import row_of
from aiohttp_jobs.engine.searching import first_id, microseconds
from aiohttp_jobs.model.job import format_utc, utc_now

OWN, ANOTHERS = "user3", "user40"
"""Users with 1.9 and 0.6 percent of the results."""
_USERS = 200
_YEAR = timedelta(days=365)
_PORTION = 25_000
_PIECES = 4000
_HITS = 10
_PARTS = ("数据库连接失败", "任务已完成", "文件没有找到", "备份成功", "网络超时", "正在重试")
_RARE_PART = "磁盘已满"

_PIECES_TABLE = "CREATE TABLE IF NOT EXISTS pieces (number int PRIMARY KEY, output text, words tsvector)"
_PIECE = "INSERT INTO pieces VALUES (%s, %s, array_to_tsvector(%s::text[]))"
# Words of a fixed share of the results, and two with ten hits, as one piece of output has.
_MARKS = """
CREATE FUNCTION marks_of(n bigint, apart bigint) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_remove(ARRAY[
        CASE WHEN n % 5 < 4 THEN 'common' END, CASE WHEN n % 3 = 0 THEN 'often' END,
        CASE WHEN n % 101 = 7 THEN 'seldom' END, CASE WHEN n % 1009 = 7 THEN 'hardly' END,
        CASE WHEN n % apart = 7 THEN 'rare' END, CASE WHEN n % apart = 13 THEN 'mine' END], NULL)
$$
"""
# Each user has fewer than the one before.
_FILL = """
INSERT INTO aiohttp_jobs.results
SELECT r.id, r.job_id, r.user_id, r.name, r.status, r.mode, r.status = 'Succeeded',
    r.id / 1024 - (r.runtime * 1000000)::bigint, r.runtime, 560 + octet_length(r.output),
    format('{"JobID":"%%s","UserID":"%%s","SessionID":"bench","JobName":"%%s",'
        '"Command":"run --number %%s","Description":"","ExecutionMode":"%%s","Interpreter":"bash",'
        '"DateStarted":"%%s","DateCompleted":"%%s","Runtime":%%s,"ExitCode":%%s,"Success":%%s,'
        '"Status":"%%s","ErrorMessage":"","Attempt":1,"OutputTruncated":false}',
        r.job_id, r.user_id, r.name, n %% 1000, r.mode,
        to_char(to_timestamp(r.id / 1024000000 - r.runtime), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        to_char(to_timestamp(r.id / 1024000000), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), r.runtime,
        CASE r.status WHEN 'Succeeded' THEN 0 ELSE 1 END, (r.status = 'Succeeded')::text, r.status)::json,
    format('{"Output":"%%s","ReturnValue":null}', r.output)::json, NULL, NULL,
    r.words || array_to_tsvector(array_cat(r.marks, ARRAY[chr(31) || r.user_id, 'job', r.kind::text, 'run',
        'number', (n %% 1000)::text, r.request]))
FROM (
    SELECT m.*, 'job ' || m.kind AS name, a.words || b.words AS words,
        CASE WHEN m.chance < 0.8 THEN 'Succeeded' WHEN m.chance < 0.95 THEN 'Failed'
            WHEN m.chance < 0.98 THEN 'Cancelled' WHEN m.chance < 0.9995 THEN 'TimedOut'
            ELSE 'Interrupted' END AS status,
        CASE WHEN m.other_chance < 0.7 THEN 'BackgroundJob' WHEN m.other_chance < 0.9995 THEN 'Runspace'
            ELSE 'MainLoop' END AS mode,
        concat_ws(' ', a.output, b.output, m.request, array_to_string(m.marks, ' ')) AS output
    FROM (
        SELECT n, %(first)s + n * %(step)s + floor(random() * %(step)s)::bigint AS id,
            gen_random_uuid() AS job_id, marks_of(n, %(apart)s) AS marks,
            CASE WHEN n %% %(apart)s = 13 THEN %(own)s
                ELSE 'user' || floor(%(users)s * random() ^ 2)::int END AS user_id,
            floor(300 * random() ^ 2)::int AS kind, random() AS chance, random() AS other_chance,
            round((-ln(1 - random()) * 20)::numeric, 3)::float8 AS runtime,
            'q' || to_hex(n * 2654435761 %% 4294967296) AS request,
            floor(random() * %(pieces)s)::int AS one_piece,
            CASE WHEN n %% %(apart)s = 17 THEN %(pieces)s
                ELSE floor(random() * %(pieces)s)::int END AS other_piece
        FROM generate_series(%(start)s::bigint, %(end)s::bigint) n
        OFFSET 0
    ) m
    JOIN pieces a ON a.number = m.one_piece
    JOIN pieces b ON b.number = m.other_piece
) r
ORDER BY r.id
"""
_ENDED = "INSERT INTO aiohttp_jobs.ended_jobs SELECT job_id, id FROM aiohttp_jobs.results"
_COUNTED = """
INSERT INTO aiohttp_jobs.kept_amounts
SELECT user_id, aiohttp_jobs.month_of(id), count(*), sum(size) FROM aiohttp_jobs.results GROUP BY 1, 2
"""
# That of the words takes as long as all others.
_INDEXES = """
SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') FROM pg_index
WHERE indrelid = 'aiohttp_jobs.results'::regclass AND NOT indisprimary
ORDER BY pg_get_indexdef(indexrelid) LIKE '%USING gin%' DESC
"""


def build(dsn: str, count: int, sessions: int = 2) -> float:
    """Make `count` results in the empty database at `dsn`, by so many sessions; the seconds it took."""
    started = time.perf_counter()
    upgrade_schema(dsn)
    first = first_id(microseconds(utc_now() - _YEAR))
    step = first_id(_YEAR // timedelta(microseconds=1)) // count
    asyncio.run(_make_months(dsn, first, first + count * step))
    values = {"first": first, "step": step, "users": _USERS, "own": OWN, "pieces": _PIECES}
    values["apart"] = count // _HITS
    # Each session makes results that follow each other: they lie in the table in the order of their time.
    edges = [count * number // sessions for number in range(sessions + 1)]
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        ThreadPoolExecutor(sessions) as threads,
        connection.cursor() as cursor,
    ):
        cursor.execute(_PIECES_TABLE)
        cursor.execute(_MARKS)
        cursor.executemany(_PIECE, list(_pieces()))
        cursor.execute("ANALYZE pieces")
        with _without_indexes(dsn, connection, threads):
            list(threads.map(lambda n: _fill(dsn, edges[n], edges[n + 1], values), range(sessions)))
        cursor.execute(_COUNTED)
        cursor.execute("DROP TABLE pieces")
        cursor.execute("VACUUM ANALYZE")
    return time.perf_counter() - started


async def _make_months(dsn: str, first: int, last: int) -> None:
    database = AsyncDatabase(dsn)
    await database.open()
    await Months(database).make(*range(month_of(first), month_of(last) + 1))
    await database.close()


def _fill(dsn: str, start: int, end: int, values: dict[str, Any]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for portion in range(start, end, _PORTION):
            last = min(portion + _PORTION, end) - 1
            connection.execute(_FILL, values | {"start": portion, "end": last})


def _pieces() -> Iterator[tuple[int, str, list[str]]]:
    """Parts of outputs, with the words that the plugin finds in them."""
    chosen = random.Random(7)
    vocabulary = [f"w{number}" for number in range(20_000)]
    weights = [1 / (number + 10) for number in range(20_000)]
    for number in range(_PIECES):
        words = chosen.choices(vocabulary, weights, k=chosen.randint(4, 16))
        if number % 50 == 7:
            words.append(_PARTS[number // 50 % len(_PARTS)])
        yield number, " ".join(words), _words(" ".join(words))
    yield _PIECES, _RARE_PART, _words(_RARE_PART)


def _words(output: str) -> list[str]:
    job_id = "00000000-0000-0000-0000-000000000000"
    record = {"JobID": job_id, "UserID": "", "DateCompleted": format_utc(utc_now()), "Output": output}
    words: list[str] = row_of(record, search_bytes=65536).values["words"]
    return words[1:]  # the first says whose it is


@contextmanager
def _without_indexes(
    dsn: str, connection: psycopg.Connection[Any], threads: ThreadPoolExecutor
) -> Iterator[None]:
    """They are made again at the end of the block, in a fraction of the time; jobs count as ended then."""
    indexes = connection.execute(_INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}".encode())
    connection.execute("ALTER TABLE aiohttp_jobs.ended_jobs DROP CONSTRAINT ended_jobs_pkey")
    yield
    list(threads.map(lambda index: _make(dsn, index[1]), indexes))
    connection.execute(_ENDED)
    connection.execute("ALTER TABLE aiohttp_jobs.ended_jobs ADD PRIMARY KEY (job_id)")


def _make(dsn: str, index: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute(index.encode())
