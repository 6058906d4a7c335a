"""The database file of the index: opened, and recreated when it is damaged or of another version.

All calls block. `IndexDatabase` belongs to the index's own thread; others read over their own connections.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from ....system.guarded_files import is_regular, open_in_place, set_aside
from ....system.storage_faults import fault_of
from ....system.storage_state import try_to_write
from .schema import SCHEMA, VERSION

_BUSY_SECONDS = 10.0
_CACHE_KIB = 8192
_SUFFIXES = ("", "-wal", "-shm", "-journal")


class IndexDatabase:
    """The index in the file `path`, or in memory if the disk refuses it.

    `generation` changes with every database that replaces another.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self.generation = 0
        self.in_memory = False

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the index is not open")
        return self._connection

    def open(self) -> None:
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            self.close()
            if fault_of(error) is not None:
                raise  # it is whole, perhaps, and cannot be used now
            self.reset()

    def reset(self, *, in_memory: bool = False) -> None:
        """Replace the index by an empty one, which must then be filled; in memory if asked to, or if the disk
        is full.
        """
        self.close()
        if not in_memory:
            with contextlib.suppress(sqlite3.DatabaseError, OSError):
                self._remove_files()
                self._connect()
                return
            self.close()
        self.in_memory = True
        self._prepare(sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None))

    def close(self) -> None:
        self.in_memory = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def require_disk(self) -> None:
        """Raise ``OSError`` when the folder of the index cannot be written."""
        try_to_write(self._path.parent, 4096)

    def was_replaced(self) -> bool:
        """Whether the file was deleted, or replaced by another process."""
        return not self.in_memory and self._identity() != self._file

    def connect_reader(self) -> sqlite3.Connection:
        """A connection for another thread to read."""
        self._set_traps_aside()
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )
        connection.execute("PRAGMA query_only = ON")
        return connection

    def fact(self, name: str) -> int | None:
        found = self.connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def set_fact(self, name: str, value: int) -> None:
        self.connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def _connect(self) -> None:
        self._touch()
        connection = self._connect_file()
        if connection.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
            connection.close()
            self._remove_files()
            self._touch()
            connection = self._connect_file()
        self._prepare(connection)
        self._file = self._identity()

    def _connect_file(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.generation += 1
        connection.execute("PRAGMA journal_mode = WAL")
        # Derived data: after a power cut it is made again, so no write waits for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        # Debian's SQLite would fill each page that merging frees with zeros: read it and write it once more.
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("SELECT * FROM results LIMIT 1").fetchone()
        connection.execute("SELECT rowid FROM search WHERE search MATCH '\"a\"' LIMIT 1").fetchone()

    def _touch(self) -> None:
        """Make the file before SQLite does: the files it puts beside this one get the same mode."""
        self._set_traps_aside()
        os.close(open_in_place(self._path, os.O_WRONLY | os.O_CREAT))

    def _set_traps_aside(self) -> None:
        """SQLite would follow a link, and wait for ever for whoever writes to a pipe."""
        for suffix in _SUFFIXES:
            path = f"{self._path}{suffix}"
            if os.path.lexists(path) and not is_regular(path):
                set_aside(path, "a part of the index belongs there")

    def _identity(self) -> tuple[int, int] | None:
        try:
            stat = self._path.lstat()
        except OSError:
            return None
        return stat.st_dev, stat.st_ino

    def _remove_files(self) -> None:
        for suffix in _SUFFIXES:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
