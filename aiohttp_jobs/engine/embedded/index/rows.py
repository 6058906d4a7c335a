"""Which row of ``search`` a result gets: in the order of completion, close to others. All calls block.

For each word of each result, FTS5 stores how far its row is from that of the last result with that word: rows
that are close take half the room of rows that are moments. How close they can be depends on how many results
come, which a pace says for those from the id `first` on, before the next pace's. No pace changes for results
that are there; so a row tells when its result was completed, but for a few rows where several would have the
same. The latest come first: FTS5 walks upwards in half the time that it takes to walk down, and mostly they
are asked for.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence

from .schema import DISPLACED

_FIRST_ROW = 1 << 33
_STEP = 8
_LEAST_STEP, _MOST_STEP = 2, 64
_MOST_BITS = 30  # a second, so that a result of the far future does not leave one row to all that follow


def make_room(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Have paces for new results with the `ids`, the highest first, before they are added."""
    if not ids:
        return
    paces = "SELECT min(first), max(first) FROM paces"
    oldest, newest = connection.execute(paces).fetchone()
    if oldest is None:
        _add_pace(connection, ids[-1], _FIRST_ROW, _bits(ids[0] - ids[-1], len(ids)))
        return
    newest = max(newest, connection.execute("SELECT coalesce(max(id), 0) FROM results").fetchone()[0])
    if later := [place for place in ids if place > newest]:
        _make_room_for_later(connection, newest, later)
    if earlier := [place for place in ids if place < oldest]:
        span = oldest - earlier[-1]
        bits = _bits(span, len(earlier))
        row = max(_used(connection, "max"), wanted_row(connection, oldest)) + 1 + (span >> bits)
        _add_pace(connection, earlier[-1], row, bits)


def wanted_row(connection: sqlite3.Connection, place: int) -> int:
    """Where the result with the id `place` belongs; behind all others if there is no pace for it."""
    pace = "SELECT first, search_row, bits FROM paces WHERE first <= ? ORDER BY first DESC LIMIT 1"
    found = connection.execute(pace, (place,)).fetchone()
    if found is None:
        return _used(connection, "max") + 1
    first, row, bits = found
    return int(row - ((place - first) >> bits))


def free_row(connection: sqlite3.Connection, place: int) -> int:
    """The row for the result with the id `place`: where it belongs, or shortly before, and never used."""
    wanted = row = wanted_row(connection, place)
    taken = (
        "SELECT 1 FROM results WHERE search_row = ?1 UNION ALL SELECT 1 FROM orphans WHERE search_row = ?1"
    )
    spread = 1
    while connection.execute(taken, (row,)).fetchone() is not None:
        # Ever further away, so that any number of results with one and the same date find room.
        spread *= 2
        row = wanted - random.randint(1, spread)  # noqa: S311
    if row != wanted:
        query = "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"
        connection.execute(query, (DISPLACED, wanted - row))
    return row


def _make_room_for_later(connection: sqlite3.Connection, newest: int, later: Sequence[int]) -> None:
    span = later[0] - newest
    bits = _bits(span, len(later))
    last = connection.execute("SELECT bits FROM paces ORDER BY first DESC LIMIT 1").fetchone()[0]
    if bits != last and not _LEAST_STEP <= (span >> last) / len(later) <= _MOST_STEP:
        row = min(_used(connection, "min"), wanted_row(connection, newest)) - 1
        _add_pace(connection, newest + 1, row, bits)


def _bits(span: int, count: int) -> int:
    """By which to divide ids, so that `count` results in `span` of them are about `_STEP` rows apart."""
    return min(_MOST_BITS, max(0, (span // (count * _STEP)).bit_length() - 1))


def _used(connection: sqlite3.Connection, which: str) -> int:
    """The lowest (``min``) or highest (``max``) row that is or was used."""
    tables = ("results", "orphans")
    queries = (f"SELECT {which}(search_row) FROM {table}" for table in tables)  # noqa: S608 - of constants
    rows = [connection.execute(query).fetchone()[0] for query in queries]
    found = [row for row in rows if row is not None]
    return int((min if which == "min" else max)(found, default=_FIRST_ROW))


def _add_pace(connection: sqlite3.Connection, first: int, row: int, bits: int) -> None:
    connection.execute("INSERT INTO paces VALUES (?, ?, ?)", (first, row, bits))
