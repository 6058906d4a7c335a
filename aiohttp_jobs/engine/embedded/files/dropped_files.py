"""Lists the files in ``JobSubmission/<user>/``, and only reads a folder again when it has changed.

``submission_reader`` reads the files, ``inotify`` announces new ones. All calls block; from any thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import Path
from threading import Lock

from .layout import is_settled
from .submission_reader import is_visible

_MOST_LISTED = 10_000
"""Of one user's folder at once: the rest is found when these have been read."""
SETTLE_SECONDS = 2.0
"""A bad file that nobody has changed for so long is complete."""
_LONG_AGO_SECONDS = 30.0
"""More than clocks of machines that share a file system may differ."""
_logger = logging.getLogger(__name__)


class DroppedFiles:
    """The waiting files below `root`, returned in batches: users in turn, each user's oldest first."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._guard = Lock()
        self._times: dict[str, int] = {}
        self._there: set[str] = set()
        self._unread: dict[str, dict[str, None]] = {}
        self._announced: deque[str] = deque()
        self._must_list = False
        self._complained: set[str] = set()

    def announce(self, paths: Collection[str]) -> None:
        """There are new files; if they are named, `take` lists no folders for them. Does not block."""
        self._announced.extend(paths)
        self._must_list = self._must_list or not paths

    def has_news(self, known: Collection[str]) -> bool:
        """Whether there may be files that are not in `known`. Costs one ``stat`` for each user."""
        with self._guard:
            return bool(self._unread or self._announced or self._must_list) or not self._is_as_seen(known)

    def take(self, known: Collection[str], most: int) -> tuple[list[Path], bool]:
        """At most `most` files that are not in `known`, and whether there are more."""
        with self._guard:
            while self._announced:
                self._add(self._announced.popleft())
            if self._must_list or not (self._unread or self._is_as_seen(known)):
                self._must_list = False
                self._list(known)
            found: list[Path] = []
            while self._unread and len(found) < most:
                self._take_turns(known, most, found)
            return found, bool(self._unread)

    def _add(self, path: str) -> None:
        unread = self._unread.setdefault(path.rpartition("/")[0], {})
        if len(unread) < _MOST_LISTED:
            unread[path] = None
        else:
            self._times = {}  # it is found when these have been read

    def _take_turns(self, known: Collection[str], most: int, found: list[Path]) -> None:
        """Add the next file of each user to `found`: many of one user's hold up nobody else's."""
        for folder in tuple(self._unread):
            unread = self._unread.pop(folder)
            path = next(iter(unread))
            del unread[path]
            if unread:
                self._unread[folder] = unread  # at the end: its next turn comes after all others'
            if path not in known:
                found.append(Path(path))
            if len(found) == most:
                return

    def _is_as_seen(self, known: Collection[str]) -> bool:
        """Whether nothing has changed since the last listing, and all that it found is in `known`."""
        if not self._times or not self._there.issubset(known):
            return False
        try:
            return all(os.lstat(folder).st_mtime_ns == seen for folder, seen in self._times.items())
        except OSError:
            return False

    def _list(self, known: Collection[str]) -> None:
        now = time.time_ns()
        times = {self._root: os.stat(self._root).st_mtime_ns}
        there: set[str] = set()
        is_whole = True
        with os.scandir(self._root) as users:
            folders = [user.path for user in users if user.is_dir(follow_symlinks=False)]
        for folder in folders:
            try:
                times[folder] = os.lstat(folder).st_mtime_ns
                found = list(islice(_files(folder, known), _MOST_LISTED))
            except OSError as error:
                self._complain(folder, error)
                continue
            is_whole = is_whole and len(found) < _MOST_LISTED
            there.update(path for path, _ in found)
            for _, path in sorted((changed, path) for path, changed in found if changed is not None):
                self._add(path)
        self._there = there
        self._times = times if is_whole and is_settled(max(times.values()), now) else {}

    def _complain(self, folder: str, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError) and folder not in self._complained:
            self._complained.add(folder)
            _logger.error("Submissions in %r cannot be read: %s", folder, error)


class Unfinished:
    """Tells which bad files a program may still be writing that does not do it atomically."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[tuple[int, int, int], float]] = {}

    def may_be(self, path: Path) -> bool:
        """Whether the bad file `path` may still be being written. Raises ``FileNotFoundError``.

        How long it has been as it is, this process's own clock says: that of the file system may be another,
        or either may have been set.
        """
        status, now = path.lstat(), time.monotonic()
        state, name = (status.st_ino, status.st_size, status.st_mtime_ns), str(path)
        before, since = self._seen.pop(name, (None, now))
        if before == state and now - since >= SETTLE_SECONDS:
            return False
        if time.time() - status.st_mtime >= _LONG_AGO_SECONDS:
            return False
        self._seen[name] = state, since if before == state else now
        while len(self._seen) > _MOST_LISTED:
            del self._seen[next(iter(self._seen))]
        return True


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
