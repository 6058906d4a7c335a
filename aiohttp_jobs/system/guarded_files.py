"""Opens, reads and locks files below the data folder safely, whoever may have put them there.

Jobs run as the host's own Unix user, so there may be anything at any path: a link, a named pipe, an endless
file. Nothing here follows a symbolic link in a file's place, waits for another process without a limit, or
reads more than its limit. All calls block.
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
from typing import NamedTuple

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
    """A path cannot be used as a file. `reason` follows its name, as in "is a folder"."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.reason = reason


class LockBusyError(OSError):
    """A lock was not released within the time that it is waited for."""


def open_regular(path: str | Path, flags: int = os.O_RDONLY, *, folder: int | None = None) -> int:
    """Open the regular file `path`, relative to `folder` if given; create it (0600) if `flags` say so.

    Returns a descriptor. Raises ``FileNotFoundError``, `UnreadableFileError` for anything but a regular file
    that may be opened, and ``OSError`` for other failures.
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
    """Open the folder `path` and return a descriptor. Raises what `open_regular` raises, also for links."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | _GUARDED)
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        raise UnreadableFileError(path, "is not a folder that can be opened") from None


def read_file(path: str | Path, most: int) -> bytes:
    """The content of the file `path`. Raises what `open_regular` raises, also for more than `most` bytes."""
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


class PathState(NamedTuple):
    """Of a file or folder: another one once it was written to, moved or replaced, or, of a folder, once
    anything was put there or taken away. Time stamps are coarse: of two changes within a tick one may not
    show.
    """

    mode: int
    inode: int
    modified: int
    changed: int
    """Unlike the time before, nobody can set it."""

    @classmethod
    def of(cls, path: str, *, is_moved: bool = False) -> PathState | None:
        """``None`` if nothing can be seen there. With `is_moved` it is the same after it was moved."""
        try:
            found = os.lstat(path)
        except OSError:
            return None
        return cls(found.st_mode, found.st_ino, found.st_mtime_ns, 0 if is_moved else found.st_ctime_ns)


def is_regular(path: str | Path) -> bool:
    """Whether `path` is a regular file, not a link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_folder(path: str | Path) -> bool:
    """Whether `path` is a folder, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def set_aside(path: str | Path, reason: object) -> bool:
    """Rename what must not stay at `path` to a hidden name beside it, and log that with the `reason`.

    False when that fails. Nothing is lost: the log names the new path.
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
    """Like `set_aside`, unless `path` is a folder, which another thread or process may have created
    meanwhile.
    """
    if os.path.lexists(path) and not is_folder(path):
        set_aside(path, reason)


def open_in_place(path: str | Path, flags: int) -> int:
    """Like `open_regular`, for a file that only this package writes: anything else in its place is moved
    aside.
    """
    try:
        return open_regular(path, flags)
    except UnreadableFileError as error:
        if not set_aside(path, error.reason):
            raise
    return open_regular(path, flags)


def lock_file(path: str | Path, seconds: float) -> int:
    """Open the lock file `path`, creating it if needed, and lock it until the returned descriptor is closed.

    Waits up to `seconds`, then raises `LockBusyError`. Anything but a regular file is moved aside.
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
    """Hold the lock while the block runs, exclusively among all threads and processes; see `lock_file`."""
    descriptor = lock_file(path, seconds)
    try:
        yield
    finally:
        os.close(descriptor)


def lock(descriptor: int, seconds: float = 0.0, *, shared: bool = False) -> None:
    """Lock an open file, exclusively or `shared`. Raises `LockBusyError` if others hold it for `seconds`."""
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
