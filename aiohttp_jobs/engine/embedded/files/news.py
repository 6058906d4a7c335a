"""Announces to other processes that results were added or deleted, while they watch.

``Running/<instance>/news`` gets a line for each. Nothing depends on it, so it is neither synced nor
preserved. All calls block; from any thread. Running and waiting jobs are in ``other_processes``.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock

from ....system.guarded_files import open_in_place, open_regular
from ..findings import News, NewsMark, ResultNews
from .instances import Instance

_LARGEST = 256 * 1024
_FILE = "news"
_BEFORE = "news.1"


class NewsWriter:
    """Announces the changes of the process `instance`; writes nothing while it is alone."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._guard = Lock()

    def ended(self, user_id: str, job_id: str) -> None:
        """Announce that a job has its result."""
        self._write({job_id: user_id}, is_deleted=False)

    def deleted(self, owners: Mapping[str, str]) -> None:
        """Announce that the results of these jobs, given with their owners, were deleted."""
        self._write(owners, is_deleted=True)

    def _write(self, owners: Mapping[str, str], *, is_deleted: bool) -> None:
        # Nobody is harmed who misses some: the list tells the rest.
        with contextlib.suppress(OSError), self._guard:
            if not self._instance.has_others():
                return
            path = self._instance.folder / _FILE
            descriptor = open_in_place(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                lines = [json.dumps([user_id, job_id, is_deleted]) for job_id, user_id in owners.items()]
                os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
                is_full = os.fstat(descriptor).st_size > _LARGEST
            finally:
                os.close(descriptor)
            if is_full:
                path.rename(self._instance.folder / _BEFORE)


class NewsReader:
    """Reads the announcements of processes other than `instance`. Stateless: the caller keeps the mark."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def read(self, since: NewsMark | None) -> News:
        """The announcements after `since`, and a new mark; only the mark when `since` is ``None``."""
        items: list[ResultNews] = []
        mark: dict[str, tuple[int, int]] = {}
        is_whole = True
        for folder in self._instance.others():
            lines, mark[folder.name], has_all = _new_lines(folder, (since or {}).get(folder.name, (0, 0)))
            if since is not None:
                items += _parsed(lines)
                is_whole = is_whole and has_all
        if since is not None:
            # What a process told last is gone with its folder.
            is_whole = is_whole and since.keys() <= mark.keys()
        return News(items, mark, is_whole)


def _new_lines(folder: Path, seen: tuple[int, int]) -> tuple[bytes, tuple[int, int], bool]:
    """What was added behind the place `seen` (file and offset), the place where that ends, and whether
    nothing in between is gone."""
    inode, offset = seen
    current, data = _read(folder / _FILE, inode, offset)
    if current == inode or not inode:
        return data, (current, (offset if current == inode else 0) + len(data)), True
    before, rest = _read(folder / _BEFORE, inode, offset)
    return (rest if before == inode else b"") + data, (current, len(data)), before == inode


def _read(path: Path, inode: int, offset: int) -> tuple[int, bytes]:
    """The file's number and what is in it, from `offset` on if it is the file `inode`; whole lines only."""
    try:
        descriptor = open_regular(path)
    except OSError:
        return 0, b""
    try:
        found = os.fstat(descriptor).st_ino
        data = os.pread(descriptor, 2 * _LARGEST, offset if found == inode else 0)
    finally:
        os.close(descriptor)
    return found, data[: data.rfind(b"\n") + 1]


def _parsed(lines: bytes) -> Iterator[ResultNews]:
    """Anybody may have written it: what is not an item is passed over."""
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            user_id, job_id, is_deleted = json.loads(line)
            if isinstance(user_id, str) and isinstance(job_id, str):
                yield ResultNews(user_id, job_id, bool(is_deleted))
