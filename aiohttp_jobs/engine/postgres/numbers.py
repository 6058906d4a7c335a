"""Counters shared by the processes on a database: one row each. All calls block."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg.types.json import Json

from ..base import NumbersOfAll
from .database import Database

_PRESENT = """
INSERT INTO aiohttp_jobs.present_numbers AS p (process_id, turn, numbers) VALUES (%s, %s, %s)
ON CONFLICT (process_id) DO UPDATE SET turn = excluded.turn, numbers = excluded.numbers
WHERE p.turn < excluded.turn
"""
# In one order: two that add to the same rows in different ones would wait for each other.
_ADD = """
INSERT INTO aiohttp_jobs.counted_numbers AS c (name, number)
SELECT * FROM unnest(%s::text[], %s::double precision[])
ON CONFLICT (name) DO UPDATE SET number = c.number + excluded.number
"""
_FORGET = """
DELETE FROM aiohttp_jobs.present_numbers n WHERE process_id <> %s
AND NOT EXISTS (SELECT FROM aiohttp_jobs.processes p WHERE p.process_id = n.process_id)
"""
_LIVING = """
SELECT n.numbers FROM aiohttp_jobs.present_numbers n JOIN aiohttp_jobs.processes p USING (process_id)
WHERE p.heard_at > clock_timestamp() - %s * interval '1 s'
"""


class PostgresNumbers:
    """The `SharedNumbers` on `database`, for the process `me`; others count as dead after `stall_seconds`."""

    def __init__(self, database: Database, me: str, stall_seconds: float) -> None:
        self._database = database
        self._me = me
        self._stall_seconds = stall_seconds

    def exchange(self, turn: int, counted: Mapping[str, float], present: Mapping[str, float]) -> NumbersOfAll:
        with self._database.transaction() as connection:
            is_new = connection.execute(_PRESENT, (self._me, turn, Json(dict(present)))).rowcount
            if is_new and counted:
                names = sorted(counted)
                connection.execute(_ADD, (names, [counted[name] for name in names]))
            connection.execute(_FORGET, (self._me,))
            sums = connection.execute("SELECT name, number FROM aiohttp_jobs.counted_numbers").fetchall()
            living = connection.execute(_LIVING, (self._stall_seconds,)).fetchall()
        return NumbersOfAll(dict(sums), [numbers for (numbers,) in living])
