"""The content of a folder's files, cached in memory, and read again when one has changed. All calls block."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ....system.atomic import mend_folder
from .layout import is_settled

LEFTOVER_SECONDS = 3600.0
FILE_NAME = re.compile(r"[0-9a-f-]{36}\.json")

T = TypeVar("T")


class FolderView(Generic[T]):
    """The files in `folder` that are named after ids; `load` reads one by name, and returns ``None`` to skip
    it.

    Where that raises ``OSError`` the file counts as none, and is read again at the next look.

    To be used by one thread at a time.
    """

    def __init__(self, folder: Path, load: Callable[[str], T | None]) -> None:
        self._folder = folder
        self._load = load
        self._seen: int | None = None
        self._files: dict[str, tuple[int, ...]] = {}
        self.items: dict[str, T] = {}
        """By file name, as of the last `refresh`."""

    def has_changed(self) -> bool:
        """Whether `refresh` would read anything."""
        return self._changed_at() != self._seen

    def refresh(self, *, anyway: bool = False) -> None:
        """Read what has changed. Costs one ``stat`` when nothing has, unless `anyway`."""
        now = time.time_ns()
        changed_at = self._changed_at()
        if changed_at == self._seen and not anyway:
            return
        found = self._listed()
        for name in self.items.keys() - found.keys():
            del self.items[name]
        news = [name for name, identity in found.items() if self._files.get(name) != identity]
        unread = [name for name in news if not self._read(name)]
        for name in unread:
            found.pop(name)
        self._files = found
        self._seen = changed_at if is_settled(changed_at, now) and not unread else None

    def look_again(self) -> None:
        """Do not trust the folder's time stamp in the next `refresh`."""
        self._seen = None

    def _changed_at(self) -> int:
        try:
            status = os.stat(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            mend_folder(self._folder)
            status = os.stat(self._folder)
        return status.st_mtime_ns

    def _listed(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        mend_folder(self._folder)
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if FILE_NAME.fullmatch(entry.name):
                    with contextlib.suppress(FileNotFoundError):
                        found[entry.name] = _identity(entry.stat(follow_symlinks=False))
        return found

    def _read(self, name: str) -> bool:
        """Whether the file could be read."""
        self.items.pop(name, None)
        try:
            item = self._load(name)
        except OSError:
            return False
        if item is not None:
            self.items[name] = item
        return True


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes that died long ago."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.lstat().st_mtime > LEFTOVER_SECONDS and not path.is_dir():
                path.unlink()


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
