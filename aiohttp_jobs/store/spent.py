"""Ids of jobs whose results were deleted: a signed file that somebody kept aside must not run again."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ..execution.segments import owner_only


class SpentIds:
    """The ids in the file `path`, to which every process on the data folder appends. All calls block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = str(path)
        self._size = 0
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def has(self, job_id: str) -> bool:
        """Costs one ``stat``, and the reading of what was added since the last time."""
        try:
            if os.stat(self._name).st_size > self._size:
                self._read_on()
        except FileNotFoundError:
            return False
        return job_id in self._ids

    def _read_on(self) -> None:
        with self._lock, self._path.open("rb") as file:
            file.seek(self._size)
            added = file.read()
            self._ids.update(added.decode("ascii", "replace").split())
            self._size += len(added)

    def add(self, *job_ids: str) -> None:
        """Remember `job_ids`, durably."""
        with open(self._path, "ab", opener=owner_only) as file:
            file.write("".join(f"{job_id}\n" for job_id in job_ids).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
