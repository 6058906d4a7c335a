"""Concurrency keys across processes: one lock file each, held while a job with the key runs."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from .durable import make_folder
from .names import safe_component


class KeyLocks:
    """The keys this process holds. The kernel frees them when it dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def acquire(self, key: str) -> bool:
        """False while another process, or another job of this one, holds the key. Blocks briefly."""
        if key in self._held:
            return False
        make_folder(self._folder)
        path = self._folder / f"{safe_component(key)}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._held[key] = descriptor
        return True

    def release(self, key: str) -> None:
        descriptor = self._held.pop(key, None)
        if descriptor is not None:
            os.close(descriptor)
