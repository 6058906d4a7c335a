"""Removes what jobs have left, however large, deep or protected; also in a background thread.

``shutil.rmtree`` fails for folders nested a thousand deep, and for those without permissions. All calls
block.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

_PROC = "/proc/self/fd"
_logger = logging.getLogger(__name__)


def remove_tree(path: str | Path, may_go_on: Callable[[], bool] = lambda: True) -> bool:
    """Remove `path` and, if it is a folder, everything in it. Follows no links. Does not raise.

    False when something is left: it cannot be removed, or `may_go_on` returned false.
    """
    try:
        return _Removal(may_go_on).remove(str(path))
    except FileNotFoundError:
        return True
    except OSError as error:
        _logger.warning("%r cannot be removed: %s", str(path), error)
        return False


class _Removal:
    """One such removal. Folders in folders are moved up and emptied there, so that no path gets long."""

    def __init__(self, may_go_on: Callable[[], bool]) -> None:
        self._may_go_on = may_go_on
        self._prefix = secrets.token_hex(8)
        self._numbers = count()
        self._done = 0

    def remove(self, path: str) -> bool:
        if not self._may_go_on():
            return False
        # Of a short job that is all there is to do: of its folders each has nothing in it, or an empty one.
        if _is_removed(path):
            return True
        try:
            folder = _open_folder(path, None)
        except NotADirectoryError:
            os.unlink(path)
            return True
        try:
            # Again for as long as it leads anywhere: somebody may be adding more.
            before = -1
            while before < self._done and self._may_go_on():
                before = self._done
                self._empty(folder, folder)
                if _is_removed(path):
                    return True
        finally:
            os.close(folder)
        if not self._may_go_on():
            return False
        os.rmdir(path)
        return True

    def _empty(self, folder: int, top: int) -> None:
        """Remove what is in `folder`; what is in its folders is moved to `top`."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if not self._may_go_on():
                    return
                try:
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.name, dir_fd=folder)
                    elif folder == top:
                        self._remove_folder(entry.name, top)
                    else:
                        self._lift(entry.name, folder, top)
                    self._done += 1
                except OSError:
                    continue  # perhaps the next time; if nothing else can be done then either, it stays

    def _remove_folder(self, name: str, top: int) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=top)
            return
        inner = _open_folder(name, top)
        try:
            self._empty(inner, top)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=top)

    def _lift(self, name: str, folder: int, top: int) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=folder)
            return
        os.close(_open_folder(name, folder))  # with the rights that moving it needs
        os.rename(name, f".{self._prefix}.{next(self._numbers)}", src_dir_fd=folder, dst_dir_fd=top)


def _is_removed(path: str) -> bool:
    """Remove a folder that has nothing in it; whether that was possible."""
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def _open_folder(name: str, within: int | None) -> int:
    """The folder `name`, which gets the rights to be emptied if it lacks them."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=within)
        if os.fstat(descriptor).st_mode & 0o700 != 0o700:
            os.fchmod(descriptor, 0o700)
    except PermissionError:
        if not (hasattr(os, "O_PATH") and os.path.isdir(_PROC)):
            raise
        held = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
        try:
            os.chmod(f"{_PROC}/{held}", 0o700)
        finally:
            os.close(held)
        descriptor = os.open(name, flags, dir_fd=within)
    return descriptor


class Sweeper:
    """Removes files and folders in a background thread, one after the other."""

    def __init__(self) -> None:
        self._paths: SimpleQueue[str | None] = SimpleQueue()
        self._closing = Event()
        self._thread = Thread(target=self._run, name="aiohttp-jobs-sweeper", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def remove(self, paths: Iterable[str | Path]) -> None:
        """Remove `paths` in the background. Does not block."""
        for path in paths:
            self._paths.put(str(path))

    def close(self, seconds: float) -> bool:
        """Wait up to `seconds` for what is left to do; false when that was not enough."""
        if not self._thread.is_alive():
            return True
        self._paths.put(None)
        self._thread.join(seconds)
        self._closing.set()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._closing.is_set() and (path := self._paths.get()) is not None:
            remove_tree(path, lambda: not self._closing.is_set())
