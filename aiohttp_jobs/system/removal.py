"""Removes what jobs have left, however large, deep or protected; also in a background thread.

``shutil.rmtree`` fails for folders nested a thousand deep, and for those without permissions. All calls
block.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

_PROC = "/proc/self/fd"
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 600.0
_MOST_REFUSED = 1000
_logger = logging.getLogger(__name__)


def remove_tree(
    path: str | Path, may_go_on: Callable[[], bool] = lambda: True, level: int = logging.WARNING
) -> bool:
    """Remove `path` and, if it is a folder, everything in it. Follows no links. Does not raise.

    False when something is left: it cannot be removed, which is logged with `level`, or `may_go_on` returned
    false.
    """
    try:
        return _Removal(may_go_on).remove(str(path))
    except FileNotFoundError:
        return True
    except OSError as error:
        _logger.log(level, "%r cannot be removed: %s", str(path), error)
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
    """Removes files and folders in a background thread, one after the other.

    What a disk refuses to let go of is tried again, with pauses that double from a second to ten minutes.
    """

    def __init__(self) -> None:
        self._paths: SimpleQueue[str | None] = SimpleQueue()
        self._refused: list[str] = []
        self._pause = _FIRST_PAUSE_SECONDS
        self._again_at = 0.0
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
        while not self._closing.is_set():
            try:
                path = self._paths.get(timeout=self._patience())
            except Empty:
                path = ""
            if path is None:
                return
            if path and not remove_tree(path, self._may_go_on) and len(self._refused) < _MOST_REFUSED:
                self._refused.append(path)
                self._wait_again(_FIRST_PAUSE_SECONDS)
            if self._patience() == 0:
                self._refused = [path for path in self._refused if not self._is_gone(path)]
                self._wait_again(min(2 * self._pause, _LONGEST_PAUSE_SECONDS))

    def _patience(self) -> float | None:
        """Seconds until what was refused is to be tried again; ``None`` when nothing was."""
        return max(0.0, self._again_at - time.monotonic()) if self._refused else None

    def _wait_again(self, seconds: float) -> None:
        self._pause, self._again_at = seconds, time.monotonic() + seconds

    def _is_gone(self, path: str) -> bool:
        return remove_tree(path, self._may_go_on, logging.DEBUG)

    def _may_go_on(self) -> bool:
        return not self._closing.is_set()
