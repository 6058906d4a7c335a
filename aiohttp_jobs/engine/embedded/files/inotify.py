"""Watches ``JobSubmission/<user>/`` for files that other programs drop, with inotify where it exists.

Elsewhere, and for what inotify misses, there is the periodic look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ....system.owned_tasks import OwnedTasks
from .submission_reader import is_visible

# inotify(7)
_CLOSE_WRITE = 0x8
_MOVED_TO = 0x80
_CREATE = 0x100
_OVERFLOW = 0x4000
_IGNORED = 0x8000
_ONLY_FOLDERS = 0x01000000
_NO_LINKS = 0x02000000
_IS_FOLDER = 0x40000000

_GATHER_SECONDS = 0.03
_MOST_OWN = 10_000
_logger = logging.getLogger(__name__)


class DroppedFilesWatch:
    """Calls `on_drop` with the new files below `root`, or with none when the folders must be listed.

    Files that were announced by `expect` are this process's own and are skipped.
    """

    def __init__(self, root: Path, on_drop: Callable[[Sequence[str]], None]) -> None:
        self._root = os.fspath(root)
        self._on_drop = on_drop
        self._own: set[str] = set()
        self._folders: dict[int, str] = {}
        self._inotify: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = OwnedTasks("the watch over dropped files")

    async def open(self) -> None:
        try:
            await asyncio.to_thread(self._begin)
        except (OSError, ImportError, AttributeError) as error:
            # Not Linux, or the user has no more watches left (fs.inotify.max_user_instances).
            _logger.info("Dropped files are found by looking for them only: %s", error)
            return
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._on_readable)

    async def close(self) -> None:
        if self._inotify is None:
            return
        asyncio.get_running_loop().remove_reader(self._inotify.fileno())
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.wait()
        self._inotify.close()
        self._inotify = None

    def expect(self, path: str) -> None:
        """Announce a file that this process is about to write. From any thread."""
        if self._inotify is None:
            return
        if len(self._own) >= _MOST_OWN:
            self._own.clear()  # of folders that are not watched; at worst there is a look too many
        self._own.add(path)

    def _begin(self) -> None:
        from inotify_simple import INotify  # noqa: PLC0415 - loads libc, which only Linux has so

        inotify = INotify(nonblocking=True)
        try:
            self._folders[inotify.add_watch(self._root, _CREATE | _MOVED_TO | _ONLY_FOLDERS)] = self._root
            self._inotify = inotify
            with os.scandir(self._root) as users:
                self._add([user.path for user in users if user.is_dir(follow_symlinks=False)])
        except BaseException:
            self._inotify = None
            inotify.close()
            raise

    def _add(self, folders: Sequence[str]) -> None:
        """Watch users' `folders` too. Blocks."""
        mask = _MOVED_TO | _CLOSE_WRITE | _ONLY_FOLDERS | _NO_LINKS
        for folder in folders:
            # One that is gone, or one too many for fs.inotify.max_user_watches: the look finds what is in it.
            with contextlib.suppress(OSError):
                self._folders[self._inotify.add_watch(folder, mask)] = folder

    def _on_readable(self) -> None:
        # Not at once: when much is submitted, it is read together.
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._inotify.fileno())
        self._timer = loop.call_later(_GATHER_SECONDS, self._read)

    def _read(self) -> None:
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._on_readable)
        dropped: list[str] = []
        folders: list[str] = []
        is_lost = False
        for watch, mask, _, name in self._inotify.read(timeout=0):
            folder = self._folders.get(watch)
            if mask & _IGNORED:
                self._folders.pop(watch, None)
            elif mask & _OVERFLOW:
                is_lost = True
                self._own.clear()
            elif folder == self._root:
                if mask & _IS_FOLDER:
                    folders.append(f"{folder}/{name}")
            elif folder is not None and not mask & _IS_FOLDER and is_visible(name):
                path = f"{folder}/{name}"
                if path in self._own:
                    self._own.discard(path)
                else:
                    dropped.append(path)
        if dropped or is_lost:
            self._on_drop(dropped)
        if folders:
            self._tasks.start(self._watch_also(folders))

    async def _watch_also(self, folders: Sequence[str]) -> None:
        await asyncio.to_thread(self._add, folders)
        # What was put there before it was watched.
        self._on_drop([])
