"""Concurrency keys across processes: one lock file each, held while a job with the key runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ....system.atomic import make_folder
from ....system.guarded_files import LockBusyError, lock_file
from .layout import safe_component


class KeyLocks:
    """The locks held by this process, named by `PendingJob.lock`. The kernel releases them when it dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def acquire(self, lock: str) -> bool:
        """Acquire a lock; false while another process or another job of this one holds it. Blocks briefly."""
        if lock in self._held:
            return False
        make_folder(self._folder)
        path = self._path(lock)
        try:
            descriptor = lock_file(path, 0.0)
        except LockBusyError:
            return False
        if not _is_file_of(path, descriptor):  # whoever held it has just removed it
            os.close(descriptor)
            return False
        self._held[lock] = descriptor
        return True

    def release(self, lock: str) -> None:
        """Release a lock, if this process holds it, and remove its file: there is no limit on key names."""
        descriptor = self._held.pop(lock, None)
        if descriptor is not None:
            with suppress(OSError):  # gone, or a job has put something else there
                self._path(lock).unlink()
            os.close(descriptor)

    def _path(self, lock: str) -> Path:
        return self._folder / f"{safe_component(lock)}.lock"


def _is_file_of(path: Path, descriptor: int) -> bool:
    """Whether `descriptor` is of the file that lies at `path` now."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False
