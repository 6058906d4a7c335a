"""The disk of the data folder: free space, and whether it can be written. Never blocks the event loop."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..system.guarded_files import is_regular
from ..system.storage_state import StorageState, try_to_write
from ..system.threads import DaemonThreads
from .readiness import NotReadyError

_WRITTEN_BYTES = 4096
_THREADS = 4
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Room:
    """Space in bytes. `free` is what the host's user may still write."""

    total: int
    free: int


class Disk:
    """The disk of the data folder `base`; new jobs need `min_free` bytes on it."""

    def __init__(self, base: Path, min_free: int, storage: StorageState) -> None:
        self._base = base
        self._min_free = min_free
        self._storage = storage
        self._threads = DaemonThreads(_THREADS, "aiohttp-jobs-disk")
        self.drain_file = base / "draining"
        """While it is there, the host is to be given no more requests."""

    async def room(self) -> Room:
        """The space on the disk. Raises ``OSError``."""
        usage = await self.in_thread(lambda: shutil.disk_usage(self._base))
        return Room(usage.total, usage.free)

    async def require_usable(self) -> None:
        """Raise ``OSError`` or `NotReadyError` when no job could be stored on the disk."""
        if self._storage.holds_jobs:
            raise NotReadyError("The disk refused what was written last; see the server's log.")
        free = (await self.room()).free
        if free < self._min_free:
            raise NotReadyError(
                f"{free >> 20} MB are free, and new jobs need {self._min_free >> 20} MB (min_free_bytes)."
            )
        await self.in_thread(lambda: try_to_write(self._base, _WRITTEN_BYTES))

    async def require_undrained(self) -> None:
        """Raise `NotReadyError` while the file `drain_file`, which an operator creates, exists."""
        if await self.in_thread(lambda: is_regular(self.drain_file)):
            raise NotReadyError(
                "The file 'draining' in the data folder says that this host is about to stop."
            )

    def close(self) -> None:
        """Stop, without waiting for a call that hangs."""
        self._threads.shutdown()

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Call `function` in a thread of its own kind, because it may hang as long as the disk does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)
