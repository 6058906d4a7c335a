"""Adds results to the index and removes them, each call in one short transaction. All calls block."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ...searching import OWNER_MARK, IndexEntry, ids_instead, ids_of_moment, indexed_text
from .rows import free_row, make_room

_CHUNK = 500
_MOST_PARTS = 8
_LARGEST_SHARE = 0.5
_PAGES = 256


def add(connection: sqlite3.Connection, entries: Sequence[IndexEntry]) -> None:
    """Add results that are not in the index, or whose files have changed."""
    with _transaction(connection):
        known = _known(connection, [entry.job_id for entry in entries])
        users: dict[str, int] = {}
        new = [entry for entry in entries if known.get(entry.job_id, ())[1:] != (entry.size, entry.changed)]
        # The latest first: the search index writes a part of its own for each step back of its rowids.
        new.sort(key=lambda entry: entry.id, reverse=True)
        make_room(connection, [entry.id for entry in new])
        for entry in new:
            there = known.get(entry.job_id)
            if there is not None:
                if there[1:] == (entry.size, entry.changed):
                    continue  # a second time among `entries`
                _remove(connection, [there[0]])
            known[entry.job_id] = _insert(connection, entry, users), entry.size, entry.changed


def remove(connection: sqlite3.Connection, job_ids: Sequence[bytes]) -> None:
    with _transaction(connection):
        _remove(connection, [row[0] for row in _known(connection, job_ids).values()])


def unknown(connection: sqlite3.Connection, job_ids: Sequence[bytes]) -> list[bytes]:
    """Those of `job_ids` that are not in the index."""
    known = _known(connection, job_ids)
    return [job_id for job_id in job_ids if job_id not in known]


def orphans(connection: sqlite3.Connection) -> int:
    """How many deleted results still have words in the search index."""
    return int(connection.execute("SELECT count(*) FROM orphans").fetchone()[0])


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])


def is_scattered(connection: sqlite3.Connection) -> bool:
    """Whether it pays to merge the segments of the search index, all of which every search reads.

    Merging rewrites them, so a segment that makes up most of the index is not rewritten for a few more
    results.
    """
    sizes = [row[0] for row in connection.execute("SELECT count(*) FROM search_idx GROUP BY segid")]
    return len(sizes) > _MOST_PARTS and max(sizes) <= _LARGEST_SHARE * sum(sizes)


def put_together(connection: sqlite3.Connection, *, begin: bool) -> bool:
    """Merge all segments step by step; returns whether there is more to do.

    Source: https://www.sqlite.org/fts5.html#the_merge_command
    """
    before = connection.total_changes
    with _transaction(connection):
        connection.execute(
            "INSERT INTO search (search, rank) VALUES ('merge', ?)", (-_PAGES if begin else _PAGES,)
        )
    return connection.total_changes - before >= 2


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        yield


def _known(connection: sqlite3.Connection, job_ids: Sequence[bytes]) -> dict[bytes, tuple[int, int, int]]:
    found: dict[bytes, tuple[int, int, int]] = {}
    for start in range(0, len(job_ids), _CHUNK):
        chunk = job_ids[start : start + _CHUNK]
        marks = ",".join("?" * len(chunk))
        query = f"SELECT job_id, id, size, changed FROM results WHERE job_id IN ({marks})"  # noqa: S608 - of constants
        found |= {row[0]: row[1:] for row in connection.execute(query, chunk)}
    return found


def _insert(connection: sqlite3.Connection, entry: IndexEntry, users: dict[str, int]) -> int:
    if entry.user_id not in users:
        users[entry.user_id] = _user_key(connection, entry.user_id)
    user, place = users[entry.user_id], _free_id(connection, entry.id)
    row = free_row(connection, place)
    connection.execute(
        "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            place,
            entry.job_id,
            row,
            user,
            entry.name,
            entry.status,
            entry.mode,
            entry.success,
            entry.started,
            entry.runtime,
            entry.size,
            entry.changed,
        ),
    )
    words = f"{OWNER_MARK}{user}\n{indexed_text(entry)}"
    connection.execute("INSERT INTO search (rowid, words) VALUES (?, ?)", (row, words))
    return place


def _remove(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    places = [(place,) for place in ids]
    query = "INSERT OR IGNORE INTO orphans SELECT search_row FROM results WHERE id = ?"
    connection.executemany(query, places)
    connection.executemany("DELETE FROM results WHERE id = ?", places)


def _user_key(connection: sqlite3.Connection, user_id: str) -> int:
    connection.execute("INSERT OR IGNORE INTO users (user_id) VALUES (?)", (user_id,))
    return int(connection.execute("SELECT key FROM users WHERE user_id = ?", (user_id,)).fetchone()[0])


def _free_id(connection: sqlite3.Connection, wanted: int) -> int:
    """`wanted`, or another of the same moment that no result has, or one close to it."""
    if not _has(connection, wanted):
        return wanted
    moment = ids_of_moment(wanted)
    query = "SELECT id FROM results WHERE id BETWEEN ? AND ?"
    taken = {row[0] for row in connection.execute(query, (moment[0], moment[-1]))}
    return next(place for place in ids_instead(wanted, taken) if not _has(connection, place))


def _has(connection: sqlite3.Connection, place: int) -> bool:
    return connection.execute("SELECT 1 FROM results WHERE id = ?", (place,)).fetchone() is not None
