"""Reads the folder of results in portions, without a million names in memory. All calls block."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from ...searching import id_bytes

_NAME_LENGTH = 41


class FolderScan:
    """The job ids in `folder`, and a list of new ones, which goes to a temporary file when it is long."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: Iterator[bytes] = iter(())
        self._entries: contextlib.AbstractContextManager[Iterable[os.DirEntry[str]]] | None = None
        self._new: sqlite3.Connection | None = None
        self._newest: sqlite3.Cursor | None = None

    def open(self) -> None:
        entries = os.scandir(self._folder)
        self._entries, self._names = entries, _job_ids(entries)

    def close(self) -> None:
        if self._entries is not None:
            self._entries.__exit__(None, None, None)
        if self._new is not None:
            self._new.close()

    def names(self, most: int) -> list[bytes]:
        """The next job ids in the folder; empty at its end."""
        return list(islice(self._names, most))

    def put(self, new: Sequence[tuple[bytes, int]]) -> None:
        """Remember job ids with the modification times of their files."""
        if not new:
            return
        if self._new is None:
            self._new = sqlite3.connect("", check_same_thread=False, isolation_level=None)
            self._new.execute("CREATE TABLE new (job_id BLOB, changed INTEGER)")
        self._new.execute("BEGIN")
        self._new.executemany("INSERT INTO new VALUES (?, ?)", new)
        self._new.execute("COMMIT")

    def newest(self, most: int) -> list[tuple[bytes, int]]:
        """The next remembered ids, latest first; empty at the end."""
        if self._new is None:
            return []
        if self._newest is None:
            self._newest = self._new.execute("SELECT job_id, changed FROM new ORDER BY changed DESC")
        return self._newest.fetchmany(most)


def _job_ids(entries: Iterable[os.DirEntry[str]]) -> Iterator[bytes]:
    """The job ids of the result files among `entries`."""
    for entry in entries:
        if entry.name.endswith(".json") and len(entry.name) == _NAME_LENGTH:
            with contextlib.suppress(ValueError):
                yield id_bytes(entry.name[:-5])
