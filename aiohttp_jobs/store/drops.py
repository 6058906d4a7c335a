"""``JobSubmission/<user>/``: which files lie there, listed only when something has changed.

What is in them is left to ``files``, news of them to ``watch``. All calls block; from any thread.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Collection, Iterable
from pathlib import Path
from threading import Lock

from .files import is_visible
from .timestamps import is_settled


class DropFolders:
    """The waiting files below `root`, handed out in portions, the oldest first."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._guard = Lock()
        self._times: dict[str, int] = {}
        self._there: set[str] = set()
        self._unread: deque[str] = deque()
        self._announced: deque[str] = deque()
        self._must_list = False

    def announce(self, paths: Collection[str]) -> None:
        """There are new files, these if any are named: `take` does not list folders then. Does not block."""
        self._announced.extend(paths)
        self._must_list = self._must_list or not paths

    def has_news(self, known: Collection[str]) -> bool:
        """Whether there may be files that are not in `known`. Costs one ``stat`` for each user."""
        with self._guard:
            return bool(self._unread or self._announced or self._must_list) or not self._is_as_seen(known)

    def take(self, known: Collection[str], most: int) -> tuple[list[Path], bool]:
        """At most `most` files that are not in `known`, and whether there are more."""
        with self._guard:
            if not self._unread:
                self._find(known)
            found: list[Path] = []
            while self._unread and len(found) < most:
                path = self._unread.popleft()
                if path not in known:
                    found.append(Path(path))
            return found, bool(self._unread)

    def _find(self, known: Collection[str]) -> None:
        while self._announced:
            self._unread.append(self._announced.popleft())
        if self._must_list or not (self._unread or self._is_as_seen(known)):
            self._must_list = False
            self._list(known)

    def _is_as_seen(self, known: Collection[str]) -> bool:
        """Whether nothing has changed since the last listing, and all that it found is in `known`."""
        if not self._times or not self._there.issubset(known):
            return False
        try:
            return all(os.stat(folder).st_mtime_ns == seen for folder, seen in self._times.items())
        except FileNotFoundError:
            return False

    def _list(self, known: Collection[str]) -> None:
        now = time.time_ns()
        times = {self._root: os.stat(self._root).st_mtime_ns}
        there: set[str] = set()
        new: list[tuple[int, str]] = []
        with os.scandir(self._root) as users:
            folders = [user.path for user in users if user.is_dir(follow_symlinks=False)]
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                times[folder] = os.stat(folder).st_mtime_ns
                for path, changed in _files(folder, known):
                    there.add(path)
                    if changed is not None:
                        new.append((changed, path))
        new.sort()
        self._unread = deque(path for _, path in new)
        self._there = there
        self._times = times if is_settled(max(times.values()), now) else {}


def _files(folder: str, known: Collection[str]) -> Iterable[tuple[str, int | None]]:
    """The visible files in `folder`, and when those that are not in `known` were changed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_visible(entry.name):
                continue
            if entry.path in known:
                yield entry.path, None
            elif not entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    yield entry.path, entry.stat(follow_symlinks=False).st_mtime_ns
