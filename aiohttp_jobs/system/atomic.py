"""Durable, atomic writes: temporary file, fsync, rename, fsync of the folder. All calls block."""

from __future__ import annotations

import base64
import contextlib
import errno
import itertools
import os
import secrets
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where only the command line writes files
    _FULL_SYNC = None
else:
    # On macOS fsync leaves it to the disk when it writes.
    _FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)

from .app_folder import APP_FOLDER
from .guarded_files import read_file, set_aside

_LARGEST_SECRET = 64 * 1024
_PROCESS = secrets.token_hex(6)
"""With the process id (a forked process has the same) and a number: a name that nobody else takes."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_numbers = itertools.count()


def sync_file(descriptor: int) -> None:
    """Flush an open file or folder to the disk, so that it survives a power cut."""
    if _FULL_SYNC is not None:
        with contextlib.suppress(OSError):  # a file system that knows no such thing
            fcntl.fcntl(descriptor, _FULL_SYNC)
            return
    os.fsync(descriptor)


def sync_folder(folder: str | Path) -> None:
    """Make the folder's entries durable."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows, where folders are not opened; only the command line writes files there
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create `folder` (0700) and its parents durably, if they do not exist.

    Anything else in its place is moved aside if it is below the plugin's own folder, where a job may have put
    it; elsewhere ``NotADirectoryError`` is raised.
    """
    if os.path.isdir(folder):
        return
    make_folder(folder.parent)
    # Once more: another thread or process may have made it since.
    if os.path.lexists(folder) and not os.path.isdir(folder):
        if APP_FOLDER.name not in folder.parent.parts:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        set_aside(folder, "a folder belongs there")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        sync_folder(folder.parent)


def mend_folder(folder: Path) -> None:
    """Make sure that `folder` exists and can be used, whatever a job has done to it.

    A folder that was removed or replaced is recreated, and lost permissions are restored. Raises ``OSError``.
    """
    make_folder(folder)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        folder.chmod(0o700)


def replace_file(target: Path, data: bytes, scratch: Path | None = None) -> None:
    """Write `data` to `target` (0600) atomically: readers see either the old or the new file.

    `scratch` is a folder on the same file system for the temporary file; by default the target's own.
    """
    put_file(target, data, scratch, sync=True)
    sync_folder(target.parent)


def put_file(target: str | Path, data: bytes, scratch: Path | None = None, *, sync: bool = False) -> None:
    """Like `replace_file`, but durable only once `target`'s folder is synced, and with `sync` the file
    already is.
    """
    put_in_place(write_aside(target, data, scratch, sync=sync), target)


def put_in_place(temporary: str, target: str | Path) -> None:
    """Rename the file that `write_aside` wrote; if that fails, it is removed.

    A folder in its place, which a job may have created, is moved aside.
    """
    try:
        try:
            os.replace(temporary, target)
        except IsADirectoryError:
            if not set_aside(target, "a file belongs there"):
                raise
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_aside(target: str | Path, data: bytes, scratch: Path | None = None, *, sync: bool = False) -> str:
    """The first half of that: the temporary file, ready for `put_in_place`."""
    if scratch is None:
        folder, name = os.path.split(target)
    else:  # on a host, where this is done twice for each job
        folder, name = os.fspath(scratch), os.fspath(target).rpartition("/")[2]
    temporary = f"{folder or '.'}/.{name[:100]}.{_PROCESS}{os.getpid():x}.{next(_numbers):x}.tmp"
    descriptor = os.open(temporary, _NEW_FILE, 0o600)
    try:
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, data[written:])
            if sync:
                sync_file(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return temporary


def random_key() -> bytes:
    """A new key for Fernet (https://github.com/fernet/spec): 32 random bytes in base64url."""
    return base64.urlsafe_b64encode(os.urandom(32))


def create_secret(target: Path, data: bytes) -> bytes:
    """The content of the secret file `target`; created with `data` (0600) if it does not exist.

    Two processes that start at once get the same secret: the first one wins. Raises `UnreadableFileError` if
    anything other than a small file is there.
    """
    make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    if not target.exists():
        replace_file(temporary, data)
        try:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, target)
            sync_folder(target.parent)
        finally:
            temporary.unlink()
    return read_file(target, _LARGEST_SECRET)
