"""Retention: finds results that the rules no longer keep, deletes them, and updates the totals.

One process at a time looks for them, so that two never delete twice as many. ``months`` drops whole months.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from ...model.results import RetentionRules
from ..searching import first_id, microseconds
from .async_database import AsyncConnection, one

_EXPIRING = 0x61696F65787069  # the bytes of "aioexpi": an advisory lock for whoever applies the rules
Told = Sequence[tuple[str, str]]
"""The deleted results: the job id and the user id of each."""

_DELETE = """
WITH gone AS (
    DELETE FROM aiohttp_jobs.results WHERE id = ANY(%s) RETURNING id, job_id, user_id, size
), outputs AS (
    DELETE FROM aiohttp_jobs.output_chunks o USING gone WHERE o.job_id = gone.job_id
), counted AS (
    INSERT INTO aiohttp_jobs.kept_amounts
    SELECT user_id, aiohttp_jobs.month_of(id), -count(*), -sum(size) FROM gone GROUP BY 1, 2
)
SELECT job_id::text, user_id FROM gone
"""
_USERS = """
SELECT user_id, sum(results)::bigint, sum(size)::bigint FROM aiohttp_jobs.kept_amounts GROUP BY user_id
HAVING sum(results) > coalesce(%s, 'infinity'::numeric) OR sum(size) > coalesce(%s, 'infinity'::numeric)
"""
_ALL = (
    "SELECT coalesce(sum(results), 0)::bigint, coalesce(sum(size), 0)::bigint FROM aiohttp_jobs.kept_amounts"
)
_PUT_TOGETHER = """
WITH many AS MATERIALIZED (
    SELECT user_id, month FROM aiohttp_jobs.kept_amounts GROUP BY 1, 2 HAVING count(*) > 8
), gone AS (
    DELETE FROM aiohttp_jobs.kept_amounts k USING many
    WHERE k.user_id = many.user_id AND k.month = many.month RETURNING k.*
)
INSERT INTO aiohttp_jobs.kept_amounts
SELECT user_id, month, sum(results), sum(size) FROM gone GROUP BY 1, 2
HAVING sum(results) <> 0 OR sum(size) <> 0
"""


async def delete_by_ids(connection: AsyncConnection, ids: Sequence[int]) -> Told:
    """Delete the results with these ids; returns those that existed."""
    return [(row[0], row[1]) for row in await (await connection.execute(_DELETE, (list(ids),))).fetchall()]


async def delete_expired(
    connection: AsyncConnection, rules: RetentionRules, now: datetime, limit: int
) -> Told:
    """Delete at most `limit` results that `rules` no longer keep, the oldest first; returns them.

    Call it in a transaction.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_EXPIRING,))
    # One rule at a time: what goes for one of them may be all that was too much for the next.
    if rules.age is not None:
        oldest = first_id(microseconds(now - timedelta(seconds=rules.age)))
        query = "SELECT id FROM aiohttp_jobs.results WHERE id < %s ORDER BY id LIMIT %s"
        found = [row[0] for row in await (await connection.execute(query, (oldest, limit))).fetchall()]
        if found:
            return await delete_by_ids(connection, found)
    for excesses in (_by_user, _overall):
        found = []
        async for user_id, count, size in excesses(connection, rules):
            found += await _oldest(connection, user_id, count, size, limit - len(found))
            if len(found) >= limit:
                break
        if found:
            return await delete_by_ids(connection, found)
    return []


async def put_amounts_together(connection: AsyncConnection) -> None:
    """Merge the rows of ``kept_amounts``, unless another process does so now. Call it in a transaction."""
    locked = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_EXPIRING,))
    if one(await locked.fetchone()):
        await connection.execute(_PUT_TOGETHER)


async def _by_user(
    connection: AsyncConnection, rules: RetentionRules
) -> AsyncIterator[tuple[str | None, int, int]]:
    """Users above a limit, each with the number of results and of bytes that are too many."""
    if rules.count_per_user is None and rules.bytes_per_user is None:
        return
    users = await connection.execute(_USERS, (rules.count_per_user, rules.bytes_per_user))
    for user_id, count, size in await users.fetchall():
        yield user_id, _excess(count, rules.count_per_user), _excess(size, rules.bytes_per_user)


async def _overall(
    connection: AsyncConnection, rules: RetentionRules
) -> AsyncIterator[tuple[str | None, int, int]]:
    if rules.count is None and rules.bytes is None:
        return
    for count, size in await (await connection.execute(_ALL)).fetchall():
        excess = _excess(count, rules.count), _excess(size, rules.bytes)
        if any(excess):
            yield None, *excess


def _excess(there: int, kept: int | None) -> int:
    return 0 if kept is None else max(0, there - kept)


async def _oldest(
    connection: AsyncConnection, user_id: str | None, count: int, size: int, limit: int
) -> list[int]:
    """The ids of the oldest results: `count`, or more if `size` bytes take more; at most `limit`."""
    where, values = ("true", ()) if user_id is None else ("user_id = %s", (user_id,))
    query = f"SELECT id, size FROM aiohttp_jobs.results WHERE {where} ORDER BY id LIMIT %s"  # noqa: S608 - of constants
    found: list[int] = []
    for result_id, bytes_ in await (await connection.execute(query, (*values, limit))).fetchall():
        if len(found) >= count and size <= 0:
            break
        found.append(result_id)
        size -= bytes_
    return found
