"""Whether the disk below the data folder refuses, said once when it begins and once when it ends; and how
what it refused is written again: the one way of backing off from a disk.

``storage_faults`` classifies errors; ``access.limits`` limits users.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from ..errors import StorageUnavailableError
from .guarded_files import LockBusyError
from .storage_faults import HOLDING, StorageFault, fault_of

T = TypeVar("T")
_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 30.0
_LONGEST_AWAY_SECONDS = 3.0
_PROBE_BYTES = 1024 * 1024
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_LONGEST_AGAIN_SECONDS = 30.0
_IS_NEW_SECONDS = 120.0
_logger = logging.getLogger(__name__)


class StorageState:
    """The state of the disk of the data folder `base`. `explains` is thread-safe.

    While it fails, a file of one megabyte is written now and then, where it failed last, to find out whether
    it still does.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._guard = Lock()
        self._fault: StorageFault | None = None
        self._low = False
        self._began = 0.0
        self._ended = float("-inf")
        self._pause = _FIRST_PAUSE_SECONDS
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._change: asyncio.Future[None] | None = None
        self.on_end: Callable[[], None] = lambda: None
        """Called in the event loop when the disk no longer refuses."""

    def open(self) -> None:
        """Start checking, on the running event loop, whether a failing disk has recovered."""
        self._loop = asyncio.get_running_loop()
        if self._fault is not None:
            self._watch()

    async def close(self) -> None:
        self._loop = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    @property
    def holds_jobs(self) -> bool:
        """Whether jobs must wait because none could be started now."""
        fault = self._fault
        return self._loop is not None and fault is not None and fault.kind in HOLDING

    def explains(self, error: BaseException) -> bool:
        """Whether `error` is a disk error. If so, it is logged once, and the caller need not log it."""
        fault = fault_of(error)
        if fault is None:
            return False
        with self._guard:
            before, self._fault = self._fault, fault if self._fault is None else self._fault
            if before is not None and before.kind is fault.kind:
                return True
            if before is None:
                self._begin()
            self._fault = fault
        _logger.error(
            "%s What would write there is refused, and accepted jobs wait, until that is over.",
            fault.sentence(self._base),
        )
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(self._watch)
        return True

    def report(self, error: BaseException, logger: logging.Logger, message: str, *args: object) -> None:
        """Log `message` with the traceback of `error`, unless `explains` has logged it already.

        The absence of a database, or a lock that somebody holds for long, is logged without a traceback.
        """
        if isinstance(error, StorageUnavailableError):
            logger.warning(f"{message}: %s", *args, error.__cause__ or error)
        elif isinstance(error, LockBusyError):
            logger.warning(f"{message}: %s", *args, error)
        elif not self.explains(error):
            logger.error(message, *args, exc_info=error)

    def tell_free(self, free: int, least: int) -> None:
        """Record that `free` bytes are left, where new jobs are refused below `least`."""
        is_low = free < least
        if is_low is self._low:
            return
        self._low = is_low
        if is_low:
            _logger.error(
                "Only %d MB are free for %s: no new jobs are taken until there are %d MB (min_free_bytes).",
                free >> 20,
                self._base,
                least >> 20,
            )
        else:
            _logger.warning("%d MB are free for %s: new jobs are taken again.", free >> 20, self._base)

    async def wait_for_end(self, seconds: float) -> None:
        """Return when the disk has recovered, or after `seconds`."""
        if self._loop is None or self._fault is None:
            await asyncio.sleep(seconds)
        else:
            await asyncio.wait([self.next_end()], timeout=seconds)

    def next_end(self) -> asyncio.Future[None]:
        """A future that is done when the disk has recovered. It is shared with other waiters: do not cancel
        it.
        """
        if self._change is None:
            self._change = asyncio.get_running_loop().create_future()
        return self._change

    def _begin(self) -> None:
        now = time.monotonic()
        # What comes and goes is looked at less often, and so is not said again and again.
        is_new = now - self._ended > _IS_NEW_SECONDS
        self._pause = _FIRST_PAUSE_SECONDS if is_new else min(2 * self._pause, _LONGEST_AGAIN_SECONDS)
        self._began = now

    def _watch(self) -> None:
        if self._loop is not None and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._probe(), name="aiohttp-jobs-storage")

    async def _probe(self) -> None:
        pause = self._pause
        while (fault := self._fault) is not None:
            await asyncio.sleep(pause)
            pause = max(self._pause, min(1.5 * pause, _LONGEST_PAUSE_SECONDS))
            if await asyncio.to_thread(_can_write, self._place_of(fault)):
                self._end()

    def _place_of(self, fault: StorageFault) -> str:
        """The folder in which to try whether `fault` is over."""
        folder = os.path.dirname(fault.path) if fault.path else ""
        is_ours = folder.startswith(f"{self._base}/") and os.path.isdir(folder)
        return folder if is_ours else str(self._base)

    def _end(self) -> None:
        with self._guard:
            self._fault, self._ended = None, time.monotonic()
        seconds = self._ended - self._began
        _logger.warning("%s can be written again, after %.0f s.", self._base, seconds)
        if self._change is not None:
            changed, self._change = self._change, None
            changed.set_result(None)
        self.on_end()


def _can_write(folder: str) -> bool:
    try:
        try_to_write(folder, _PROBE_BYTES)
    except OSError:
        return False
    return True


def try_to_write(folder: str | Path, size: int) -> None:
    """Write a file of `size` bytes to `folder` durably, and remove it. Raises ``OSError``. Blocks."""
    path = f"{folder}/.{secrets.token_hex(8)}.tmp"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # Not zeros, which some file systems keep as a hole.
        if os.write(descriptor, os.urandom(4096) * (size // 4096)) < size // 4096 * 4096:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        os.unlink(path)


async def retry_until_written(
    write: Callable[[], Awaitable[T]],
    storage: StorageState,
    logger: logging.Logger,
    message: str,
    *args: object,
    refused: OSError | None = None,
) -> T:
    """The answer of `write`, which is asked again for as long as it raises ``OSError``, as of a full disk.

    The pauses double from 0.5 s up to 30 s, or to 3 s while a database is away, and end when `storage` gets
    well. Each refusal is reported to it with `message` and `args`, for `logger`. `refused` is what whoever
    asked `write` already was answered: there is a pause first.
    """
    delay = _FIRST_SECONDS
    while True:
        if refused is None:
            try:
                return await write()
            except OSError as error:
                refused = error
        storage.report(refused, logger, message, *args)
        is_away = isinstance(refused, StorageUnavailableError)
        refused = None
        await storage.wait_for_end(delay)
        delay = min(2 * delay, _LONGEST_AWAY_SECONDS if is_away else _LONGEST_SECONDS)


def free_bytes(folder: str | Path) -> int:
    """The bytes that this user may still write on the disk of `folder`. Blocks. Raises ``OSError``."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
