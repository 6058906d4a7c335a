"""The monthly partitions of ``results``: created ahead of time, and dropped when nothing in them is kept.

Neither blocks readers or writers: a new partition is attached when it is complete, and an old one is detached
``CONCURRENTLY``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from psycopg import sql

from ..searching import first_id, microseconds
from .async_database import AsyncConnection, AsyncDatabase

_CHANGING = 0x61696F6D6F6E74  # the bytes of "aiomont": who makes or drops a month
_AHEAD = 3
_TICKS = first_id(1) * 1_000_000
_END = 1 << 63
_NAME = re.compile(r"results_(\d{4})_(\d{2})")
_ATTACHED = """
SELECT c.relname, i.inhdetachpending FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'aiohttp_jobs.results'::regclass ORDER BY c.relname
"""
_LEFT = """
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'aiohttp_jobs'::regnamespace AND c.relkind = 'r'
AND c.relname ~ '^results_[0-9]{4}_[0-9]{2}$' AND NOT c.relispartition
"""
_MAKE = """
CREATE TABLE aiohttp_jobs.{name} (LIKE aiohttp_jobs.results INCLUDING ALL);
ALTER TABLE aiohttp_jobs.results ATTACH PARTITION aiohttp_jobs.{name} FOR VALUES FROM ({first}) TO ({end});
"""
_PORTION = 2000
# What was printed and had no room in the results goes with them.
_DELETE_OUTPUTS = """
WITH jobs AS MATERIALIZED (
    SELECT id, job_id FROM aiohttp_jobs.{name} WHERE id > %s ORDER BY id LIMIT %s
), gone AS (
    DELETE FROM aiohttp_jobs.output_chunks WHERE job_id IN (SELECT job_id FROM jobs)
)
SELECT max(id) FROM jobs
"""


class Months:
    """The partitions of the table ``results``. A month is a number: its year times twelve, plus 0 to 11."""

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database
        self._known: set[int] = set()

    async def make(self, *months: int) -> None:
        """Create these partitions, if they do not exist."""
        if not set(months) - self._known:
            return
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CHANGING,))
            there = await _attached(connection)
            for month in sorted(set(months) - there.keys()):
                await connection.execute(_statement(_MAKE, month))
        self._known = there.keys() | set(months)

    async def make_ahead(self, now: datetime) -> None:
        """Create the partitions of this month and the next ones."""
        month = month_of(first_id(microseconds(now)))
        await self.make(*range(month, month + _AHEAD))

    def forget(self) -> None:
        """Read again which partitions exist, because another process may have dropped one."""
        self._known.clear()

    async def drop_before(self, oldest: int) -> int:
        """Drop the months that only have ids below `oldest`; return how many results they had."""
        dropped = 0
        async with self._database.connection() as connection:
            await connection.execute("SELECT pg_advisory_lock(%s)", (_CHANGING,))
            try:
                there = await _attached(connection)
                for month, is_pending in there.items():
                    if is_pending or ids_of(month)[1] <= oldest:
                        self._known.discard(month)
                        await _detach(connection, month, is_pending=is_pending)
                for (name,) in await (await connection.execute(_LEFT)).fetchall():
                    dropped += await _drop(connection, _month(name))
            finally:
                await connection.execute("SELECT pg_advisory_unlock(%s)", (_CHANGING,))
        return dropped


def month_of(result_id: int) -> int:
    """The month of a result's id, in UTC."""
    moment = datetime.fromtimestamp(result_id // _TICKS, UTC)
    return moment.year * 12 + moment.month - 1


def ids_of(month: int) -> tuple[int, int]:
    """The first id of a month, and the one after its last."""
    end = _first(month + 1)
    # Later moments have no ids of their own, and are of the last month that has.
    return _first(month), _END if first_id(_END) == end else end


def _first(month: int) -> int:
    return first_id(microseconds(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)))


async def _attached(connection: AsyncConnection) -> dict[int, bool]:
    """The months that there are, the oldest first, and whether somebody has begun to detach them."""
    return {_month(name): pending for name, pending in await (await connection.execute(_ATTACHED)).fetchall()}


async def _detach(connection: AsyncConnection, month: int, *, is_pending: bool) -> None:
    how = "FINALIZE" if is_pending else "CONCURRENTLY"
    await connection.execute(
        _statement("ALTER TABLE aiohttp_jobs.results DETACH PARTITION aiohttp_jobs.{name} " + how, month)
    )


async def _drop(connection: AsyncConnection, month: int) -> int:
    """Drop what is detached, with the outputs of its jobs; how many results it had."""
    await _delete_outputs(connection, month)
    async with connection.transaction():
        await connection.execute(_statement("DROP TABLE aiohttp_jobs.{name}", month))
        gone = await connection.execute(
            "WITH gone AS (DELETE FROM aiohttp_jobs.kept_amounts WHERE month = %s RETURNING results) "
            "SELECT coalesce(sum(results), 0)::bigint FROM gone",
            (_first(month),),
        )
        row = await gone.fetchone()
        return 0 if row is None else int(row[0])


async def _delete_outputs(connection: AsyncConnection, month: int) -> None:
    """A portion at a time, each of which takes less than a statement may."""
    portion = _statement(_DELETE_OUTPUTS, month)
    last: int | None = -1
    while last is not None:
        row = await (await connection.execute(portion, (last, _PORTION))).fetchone()
        last = None if row is None else row[0]


def _statement(text: str, month: int) -> sql.Composed:
    first, end = ids_of(month)
    name = f"results_{month // 12:04}_{month % 12 + 1:02}"
    return sql.SQL(text).format(
        name=sql.Identifier(name),
        first=sql.Literal(first),
        end=sql.SQL("MAXVALUE") if end == _END else sql.Literal(end),
    )


def _month(name: str) -> int:
    match = _NAME.fullmatch(name)
    if match is None:
        raise AssertionError(f"the table {name} is no month of results")
    return int(match[1]) * 12 + int(match[2]) - 1
