"""Statistics of results: how jobs ended over time, runtimes, and the most frequent names.

The cost grows with the period.
"""

from __future__ import annotations

from typing import Any

from ...model.job import JobStatus, format_utc
from ...model.results import StatsFilter
from ..searching import first_id, microseconds
from .async_database import AsyncConnection
from .result_rows import storable

_ID_PER_MICROSECOND = first_id(1)
_MOST_NAMES = 10
_QUANTILES = {"P50": 0.5, "P90": 0.9, "P99": 0.99}
"""The runtime that such a share of the results did not exceed (the nearest rank)."""


async def statistics(connection: AsyncConnection, wanted: StatsFilter) -> dict[str, Any]:
    """The ``stats`` of ``GET /results/stats``; within a transaction."""
    # It reads all of a month, or most of it: by an index that would take longer.
    await connection.execute("SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on")
    where, values = _where(wanted)
    return {
        "buckets": await _buckets(connection, wanted, where, values),
        "runtime": await _runtime(connection, where, values),
        "names": await _names(connection, where, values),
    }


def _where(wanted: StatsFilter) -> tuple[str, list[Any]]:
    since, until = (first_id(microseconds(moment)) for moment in (wanted.since, wanted.until))
    where = "id BETWEEN %s AND %s"
    values: list[Any] = [since, until - 1]
    for column, value in (("user_id", wanted.user_id), ("name", wanted.name)):
        if value is not None:
            where, values = f"{where} AND {column} = %s", [*values, storable(value)]
    return where, values


async def _buckets(
    connection: AsyncConnection, wanted: StatsFilter, where: str, values: list[Any]
) -> list[dict[str, Any]]:
    width = wanted.bucket.value * 1_000_000 * _ID_PER_MICROSECOND
    query = f"SELECT id / {width}, status, count(*) FROM aiohttp_jobs.results WHERE {where} GROUP BY 1, 2"  # noqa: S608 - of constants
    counts = {(row[0], row[1]): row[2] for row in await (await connection.execute(query, values)).fetchall()}
    return [
        {
            "Start": format_utc(start),
            **{
                status.value: counts.get((int(start.timestamp()) // wanted.bucket.value, status.value), 0)
                for status in JobStatus
            },
        }
        for start in wanted.starts
    ]


async def _runtime(connection: AsyncConnection, where: str, values: list[Any]) -> dict[str, Any]:
    query = (
        "SELECT count(*), percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY runtime), max(runtime) "  # noqa: S608 - of constants
        f"FROM aiohttp_jobs.results WHERE {where}"
    )
    found = await (await connection.execute(query, [list(_QUANTILES.values()), *values])).fetchall()
    count, quantiles, longest = found[0]
    shares = dict(zip(_QUANTILES, quantiles or [None] * len(_QUANTILES), strict=True))
    return {"Count": count, **shares, "Max": longest}


async def _names(connection: AsyncConnection, where: str, values: list[Any]) -> list[dict[str, Any]]:
    query = (
        "SELECT name, count(*), count(*) FILTER (WHERE NOT success), "  # noqa: S608 - of constants
        "percentile_disc(0.5) WITHIN GROUP (ORDER BY runtime) "
        f"FROM aiohttp_jobs.results WHERE {where} GROUP BY name ORDER BY 2 DESC, 1 LIMIT %s"
    )
    found = await (await connection.execute(query, [*values, _MOST_NAMES])).fetchall()
    return [{"JobName": row[0], "Count": row[1], "Failed": row[2], "P50": row[3]} for row in found]
