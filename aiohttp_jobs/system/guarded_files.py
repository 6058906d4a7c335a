"""Opening, reading and locking what lies below the data folder, whoever may have put it there.

Jobs run as the host's own Unix user, so anything may lie at any path: a link, a named pipe, a file without
end. Nothing in here follows a link in a file's place, waits for another process without a limit, or reads
more than it is told to. What a file means is left to those who ask. All calls block.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator
from functools import reduce
from operator import or_
from pathlib import Path

with contextlib.suppress(ImportError):  # Windows, where no host runs: see `operating_system`
    import fcntl

_GUARDED = reduce(
    or_, (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC"))
)
_OF_THE_FILE = frozenset({
    errno.EACCES, errno.EAGAIN, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENODEV, errno.ENOTDIR,
    errno.ENXIO, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY,
})  # fmt: skip
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05
LARGEST_RECORD = 64 * 1024 * 1024
"""Bytes in one record at most: far more than any setting that is in use makes of one."""
LOCK_SECONDS = 5.0
"""How long a lock is waited for that others hold only for the moment of a change."""
_logger = logging.getLogger(__name__)


class UnreadableFileError(OSError):
    """What lies at a path cannot be used as a file. `reason` goes on after its name, as in "is a folder"."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.reason = reason


class LockBusyError(OSError):
    """Somebody has held a lock for longer than it is waited for."""


def open_regular(path: str | Path, flags: int = os.O_RDONLY, *, folder: int | None = None) -> int:
    """A descriptor of the regular file `path`, made (0600) if `flags` say so; relative to `folder` if given.

    Raises ``FileNotFoundError``, `UnreadableFileError` for anything but a regular file that may be opened,
    and ``OSError`` for what is not the file's fault.
    """
    try:
        descriptor = os.open(path, flags | _GUARDED, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        is_link = error.errno == errno.ELOOP
        reason = "is a link" if is_link else f"cannot be opened: {os.strerror(error.errno)}"
        raise UnreadableFileError(path, reason) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFileError(path, "is not a regular file")
    return descriptor


def open_folder(path: str | Path) -> int:
    """A descriptor of the folder `path`, for its entries; raises like `open_regular`, for links too."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | _GUARDED)
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        raise UnreadableFileError(path, "is not a folder that can be opened") from None


def read_file(path: str | Path, most: int) -> bytes:
    """What the file `path` holds. Raises like `open_regular`, and for a file with more than `most` bytes."""
    descriptor = open_regular(path)
    try:
        size = os.fstat(descriptor).st_size
        if size > most:
            raise UnreadableFileError(path, f"is larger than {most} bytes")
        # One byte more than there should be: as many as that, and all of it was read by one call.
        data = os.read(descriptor, size + 1)
        while len(data) != size and (piece := os.read(descriptor, most + 1 - len(data))):
            data += piece
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise UnreadableFileError(path, f"is larger than {most} bytes")
    return data


def is_regular(path: str | Path) -> bool:
    """Whether there is a regular file at `path` itself; a link is none."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder at `path` itself; a link is none."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def set_aside(path: str | Path, reason: object) -> bool:
    """Move away what must not stay at `path`, to a hidden name beside it, and log that, with the `reason`.

    False when it cannot be moved. Nothing is lost: whoever put it there finds it under the logged name.
    """
    folder, _, name = str(path).rpartition("/")
    aside = f"{folder}/.{name.lstrip('.')[:100]}.{secrets.token_hex(4)}.aside"
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return True
    except OSError as error:
        _logger.error("%r must not be there (%s), and cannot be moved: %s", str(path), reason, error)
        return False
    _logger.error("%r must not be there (%s): it was moved to %r", str(path), reason, aside)
    return True


def set_aside_unless_folder(path: str | Path, reason: object) -> None:
    """The same for what must be a folder: one that another thread or process has made by now stays there."""
    if os.path.lexists(path) and not is_folder(path):
        set_aside(path, reason)


def open_in_place(path: str | Path, flags: int) -> int:
    """Like `open_regular`, for a file that only this package writes: whatever else is there is set aside."""
    try:
        return open_regular(path, flags)
    except UnreadableFileError as error:
        if not set_aside(path, error.reason):
            raise
    return open_regular(path, flags)


def lock_file(path: str | Path, seconds: float) -> int:
    """A descriptor of the lock file `path`, made if need be, that has its lock until it is closed.

    Waits `seconds` at most, and then raises `LockBusyError`. What is no regular file is set aside.
    """
    descriptor = open_in_place(path, os.O_RDWR | os.O_CREAT)
    try:
        lock(descriptor, seconds)
    except LockBusyError:
        os.close(descriptor)
        raise LockBusyError(f"{path} is locked by another process") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def locked(path: str | Path, seconds: float) -> Iterator[None]:
    """Alone, among all threads and processes, while the block runs: see `lock_file`."""
    descriptor = lock_file(path, seconds)
    try:
        yield
    finally:
        os.close(descriptor)


def lock(descriptor: int, seconds: float = 0.0, *, shared: bool = False) -> None:
    """Lock an open file for this process alone, or `shared` with others that do.

    Raises `LockBusyError` if others hold it for `seconds`.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    end, pause = time.monotonic() + seconds, _FIRST_PAUSE_SECONDS
    while True:
        with contextlib.suppress(BlockingIOError):
            # Not LOCK_EX alone: whoever holds it may never let go, and would hold this thread with it.
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        if time.monotonic() >= end:
            raise LockBusyError("the file is locked by another process")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
