"""Statistics of results: how jobs ended over time, runtimes, and the most frequent names. All calls block.

The cost grows with the number of results in the period; the memory does not.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from ....model.job import JobStatus, format_utc
from ....model.results import StatsFilter
from ...searching import first_id, microseconds
from .query import user_key

_ID_PER_MICROSECOND = first_id(1)
_MOST_NAMES = 10


def statistics(connection: sqlite3.Connection, wanted: StatsFilter) -> dict[str, Any]:
    """The ``stats`` of ``GET /results/stats``."""
    user = None if wanted.user_id is None else user_key(connection, wanted.user_id)
    known = wanted.user_id is None or user is not None
    where, values = _where(wanted, user) if known else ("0", [])
    return {
        "buckets": _buckets(connection, wanted, where, values),
        "runtime": _runtime(connection, where, values),
        "names": _names(connection, where, values),
    }


def _where(wanted: StatsFilter, user: int | None) -> tuple[str, list[int | str]]:
    where = "id >= ? AND id < ?"
    values: list[int | str] = [
        first_id(microseconds(wanted.since)),
        first_id(microseconds(wanted.until)),
    ]
    if user is not None:
        where, values = where + " AND user = ?", [*values, user]
    if wanted.name is not None:
        where, values = where + " AND name = ?", [*values, wanted.name]
    return where, values


def _buckets(
    connection: sqlite3.Connection, wanted: StatsFilter, where: str, values: list[int | str]
) -> list[dict[str, Any]]:
    width = wanted.bucket.value * 1_000_000 * _ID_PER_MICROSECOND
    query = f"SELECT id / {width}, status, count(*) FROM results WHERE {where} GROUP BY 1, 2"  # noqa: S608 - of constants
    counts = {(row[0], row[1]): row[2] for row in connection.execute(query, values)}
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


def _runtime(connection: sqlite3.Connection, where: str, values: list[int | str]) -> dict[str, Any]:
    query = f"SELECT count(*), max(runtime) FROM results WHERE {where}"  # noqa: S608 - of constants
    count, longest = connection.execute(query, values).fetchone()
    shares = {"P50": 0.5, "P90": 0.9, "P99": 0.99}
    return {
        "Count": count,
        **{name: _quantile(connection, where, values, count, share) for name, share in shares.items()},
        "Max": longest,
    }


def _quantile(
    connection: sqlite3.Connection, where: str, values: list[int | str], count: int, share: float
) -> float | None:
    """The runtime that `share` of the results did not exceed (the nearest rank)."""
    if not count:
        return None
    rank = max(0, -int(-share * count // 1) - 1)
    query = f"SELECT runtime FROM results WHERE {where} ORDER BY runtime LIMIT 1 OFFSET ?"  # noqa: S608 - of constants
    return float(connection.execute(query, (*values, rank)).fetchone()[0])


def _names(connection: sqlite3.Connection, where: str, values: list[int | str]) -> list[dict[str, Any]]:
    query = (
        f"SELECT name, count(*), sum(NOT success) FROM results WHERE {where}"  # noqa: S608 - of constants
        " GROUP BY name ORDER BY 2 DESC, 1 LIMIT ?"
    )
    found = connection.execute(query, (*values, _MOST_NAMES)).fetchall()
    return [
        {
            "JobName": name,
            "Count": count,
            "Failed": failed,
            "P50": _quantile(connection, f"{where} AND name = ?", [*values, name], count, 0.5),
        }
        for name, count, failed in found
    ]
