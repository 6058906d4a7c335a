"""Translates errors of the disk and of SQLite into sentences.

``storage_state`` tracks whether the disk still fails, and logs it once.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..errors import InsufficientStorageError, JobsError, StorageUnavailableError


class FaultKind(Enum):
    """The kinds of disk errors. The values are sentences with ``{path}`` and ``{reason}``."""

    FULL = "There is no room for {path} ({reason})."
    READ_ONLY = "{path} lies on a file system that is read-only ({reason})."
    DENIED = "This host may not use {path} ({reason}): give it to the host's user, readable and writable."
    FAILING = "The disk of {path} fails ({reason}): see the system's log (dmesg)."


HOLDING = frozenset({FaultKind.FULL, FaultKind.READ_ONLY})
"""For these nothing at all can be written, so that jobs wait; of a disk that fails, only some may be lost."""
_KINDS: Mapping[int, FaultKind] = {
    errno.ENOSPC: FaultKind.FULL,
    errno.EDQUOT: FaultKind.FULL,
    errno.EROFS: FaultKind.READ_ONLY,
    errno.EACCES: FaultKind.DENIED,
    errno.EPERM: FaultKind.DENIED,
    errno.EIO: FaultKind.FAILING,
    errno.ESTALE: FaultKind.FAILING,
    errno.ENODEV: FaultKind.FAILING,
    **({errno.EUCLEAN: FaultKind.FAILING} if hasattr(errno, "EUCLEAN") else {}),  # "structure needs cleaning"
}
_SQLITE_KINDS: Mapping[int, FaultKind] = {
    sqlite3.SQLITE_FULL: FaultKind.FULL,
    sqlite3.SQLITE_READONLY: FaultKind.READ_ONLY,
    sqlite3.SQLITE_PERM: FaultKind.DENIED,
    sqlite3.SQLITE_CANTOPEN: FaultKind.DENIED,
    sqlite3.SQLITE_IOERR: FaultKind.FAILING,
}
_OF_CALLERS: Mapping[FaultKind, str] = {
    FaultKind.READ_ONLY: "The server's disk is read-only at the moment",
    FaultKind.DENIED: "The server may not use its own data folder",
    FaultKind.FAILING: "The server's disk fails",
}


@dataclass(frozen=True, slots=True)
class StorageFault:
    """A disk error. `path` is the path at fault, if known; `reason` is the system's message."""

    kind: FaultKind
    reason: str
    path: str | None = None

    def sentence(self, base: str | os.PathLike[str]) -> str:
        """The message for the administrator of the data folder `base`."""
        return self.kind.value.format(path=self.path or os.fspath(base), reason=self.reason)

    def error(self) -> JobsError:
        """The error for a caller, without paths of the server."""
        if self.kind is FaultKind.FULL:
            return InsufficientStorageError()
        return StorageUnavailableError(
            f"{_OF_CALLERS[self.kind]}, so this could not be done. Try again later, or tell whoever looks "
            "after the server."
        )


def fault_of(error: BaseException) -> StorageFault | None:
    """The disk error behind `error`; ``None`` when it is another kind of error."""
    if isinstance(error, sqlite3.Error):
        kind = _SQLITE_KINDS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        return None if kind is None else StorageFault(kind, str(error))
    if not isinstance(error, OSError) or error.errno is None:
        return None
    kind = _KINDS.get(error.errno)
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else None
    if kind is None or (kind is FaultKind.DENIED and path is None):  # of a process, perhaps
        return None
    absolute = path if path is not None and os.path.isabs(path) else None
    return StorageFault(kind, os.strerror(error.errno), absolute)
