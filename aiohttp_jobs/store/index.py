"""The results index: SQLite, derived from the result files, which remain the truth.

It answers "which results does this user have, newest first" without reading the folder. Deleting
or damaging it loses nothing: `sync` makes it again. All calls block; one thread at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..models import format_utc

_VERSION = 1
_SCHEMA = (
    "DROP TABLE IF EXISTS results",
    "CREATE TABLE results (job_id TEXT PRIMARY KEY, user_id TEXT NOT NULL,"
    " completed TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX results_by_user ON results (user_id, completed DESC, job_id)",
    f"PRAGMA user_version = {_VERSION}",
)
_ADD = "INSERT OR REPLACE INTO results VALUES (?, ?, ?)"


class ResultIndex:
    """An index of the ``*.json`` files in `folder`, kept in the database file `path`."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._connection: sqlite3.Connection | None = None
        self._seen: int | None = None

    def open(self) -> None:
        try:
            self._connect()
        except sqlite3.DatabaseError:
            self.reset()

    def reset(self, *, in_memory: bool = False) -> None:
        """Throw a damaged index away and start an empty one; the next `sync` fills it.

        It lies in memory when asked to, and where the disk does not take it (a full one).
        """
        self.close()
        self._seen = None
        if not in_memory:
            with contextlib.suppress(sqlite3.DatabaseError, OSError):
                self._remove_files()
                self._connect()
                return
            self.close()
        self._connect_to(":memory:")

    def _remove_files(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def note(self, record: Mapping[str, Any], before: int) -> None:
        """Add a result that this process has just written.

        `before` is the folder's modification time (ns) read before writing: if it is the one last
        synced, nothing else has changed and no new scan is due.
        """
        self._run(_ADD, [_row(record)])
        if before == self._seen:
            self._seen = self._folder_time()

    def remove(self, job_id: str) -> None:
        self._run("DELETE FROM results WHERE job_id = ?", [(job_id,)])

    def newest(self, user_id: str | None, limit: int) -> list[str]:
        """Job ids of the user's results, or of everyone's, most recently completed first."""
        self.sync()
        if user_id is None:
            query = "SELECT job_id FROM results ORDER BY completed DESC, job_id LIMIT ?"
            return [row[0] for row in self._db.execute(query, (limit,))]
        query = "SELECT job_id FROM results WHERE user_id = ? ORDER BY completed DESC, job_id LIMIT ?"
        return [row[0] for row in self._db.execute(query, (user_id, limit))]

    def sync(self) -> None:
        """Take in what other programs added to the folder or removed, if it has changed."""
        now = self._folder_time()
        if now == self._seen:
            return
        with os.scandir(self._folder) as entries:
            files = {
                entry.name[:-5]
                for entry in entries
                if entry.name.endswith(".json") and not entry.name.startswith(".")
            }
        indexed = {row[0] for row in self._db.execute("SELECT job_id FROM results")}
        self._run("DELETE FROM results WHERE job_id = ?", [(gone,) for gone in indexed - files])
        self._run(_ADD, filter(None, map(self._read, files - indexed)))
        self._seen = now

    def _connect(self) -> None:
        # Before SQLite does: the files it puts beside this one get the same mode.
        self._path.touch(mode=0o600)
        self._connect_to(self._path)

    def _connect_to(self, place: Path | str) -> None:
        connection = sqlite3.connect(place, check_same_thread=False, timeout=10)
        self._connection = connection
        connection.execute("PRAGMA journal_mode = WAL")
        # Derived data: after a power cut it is made again, so no write waits for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                for statement in _SCHEMA:
                    connection.execute(statement)
        connection.execute("SELECT job_id, user_id, completed FROM results LIMIT 1").fetchone()

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the index is not open")
        return self._connection

    def _run(self, statement: str, rows: Iterable[tuple[str, ...]]) -> None:
        with self._db:
            self._db.executemany(statement, rows)

    def _folder_time(self) -> int:
        return self._folder.stat().st_mtime_ns

    def _read(self, job_id: str) -> tuple[str, str, str] | None:
        try:
            record = json.loads((self._folder / f"{job_id}.json").read_bytes())
            return _row(record) if record["JobID"] == job_id else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _row(record: Mapping[str, Any]) -> tuple[str, str, str]:
    completed = datetime.fromisoformat(record["DateCompleted"])
    return record["JobID"], record["UserID"], format_utc(completed)
