"""Which results retention no longer keeps. All calls block.

Both the excess and the oldest results are read in one snapshot: two processes that ask at once get the same
results, and never delete twice as many.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta

from ....model.results import RetentionRules
from ...searching import first_id, microseconds


def expired(connection: sqlite3.Connection, rules: RetentionRules, now: datetime, limit: int) -> list[bytes]:
    """The job ids of at most `limit` results to delete, oldest first."""
    connection.execute("BEGIN")
    with connection:
        # One rule at a time: what goes for one of them may be all that was too much for the next.
        if rules.age is not None:
            oldest = first_id(microseconds(now - timedelta(seconds=rules.age)))
            query = "SELECT job_id FROM results WHERE id < ? ORDER BY id LIMIT ?"
            if found := [row[0] for row in connection.execute(query, (oldest, limit))]:
                return found
        for rule in (_by_user, _overall):
            found = []
            for user, count, size in rule(connection, rules):
                found += _oldest(connection, user, count, size, limit - len(found))
                if len(found) >= limit:
                    break
            if found:
                return found
    return []


def kept_bytes(connection: sqlite3.Connection, user_id: str) -> int:
    """How many bytes the user's results take, including outputs that are stored beside them."""
    query = "SELECT sum(size) FROM results WHERE user = (SELECT key FROM users WHERE user_id = ?)"
    return int(connection.execute(query, (user_id,)).fetchone()[0] or 0)


def count(connection: sqlite3.Connection) -> int:
    """The number of results."""
    return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])


def _by_user(connection: sqlite3.Connection, rules: RetentionRules) -> Iterator[tuple[int | None, int, int]]:
    """Users with too much, and by how many results and by how many bytes it is too much."""
    if rules.count_per_user is None and rules.bytes_per_user is None:
        return
    for user, count, size in connection.execute(
        "SELECT user, count(*), sum(size) FROM results GROUP BY user"
    ):
        excess = _excess(count, rules.count_per_user), _excess(size, rules.bytes_per_user)
        if any(excess):
            yield user, *excess


def _overall(connection: sqlite3.Connection, rules: RetentionRules) -> Iterator[tuple[int | None, int, int]]:
    if rules.count is None and rules.bytes is None:
        return
    count, size = connection.execute("SELECT count(*), sum(size) FROM results").fetchone()
    excess = _excess(count, rules.count), _excess(size or 0, rules.bytes)
    if any(excess):
        yield None, *excess


def _excess(there: int, kept: int | None) -> int:
    return 0 if kept is None else max(0, there - kept)


def _oldest(
    connection: sqlite3.Connection, user: int | None, count: int, size: int, limit: int
) -> list[bytes]:
    """The oldest results: `count` of them, and as many as it takes to be rid of `size` bytes."""
    where, values = ("1", ()) if user is None else ("user = ?", (user,))
    query = f"SELECT job_id, size FROM results WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608 - of constants
    found: list[bytes] = []
    for job_id, bytes_ in connection.execute(query, (*values, limit)):
        if len(found) >= count and size <= 0:
            break
        found.append(job_id)
        size -= bytes_
    return found
