"""The ids of jobs whose results were deleted, so that a copy of their signed submission cannot run again.

Two files in different folders have the same content, and each repairs the other. All calls block.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from ....model.job import Submission, format_utc, utc_now
from ....system.atomic import make_folder, replace_file, sync_file, sync_folder
from ....system.guarded_files import LockBusyError, lock, open_in_place, open_regular, set_aside

KEPT_DAYS = 90
"""Deleted ids are kept at least so long. Older submissions run only if they waited when ids were dropped."""
_MARGIN = timedelta(days=7)
_LOCK_SECONDS = 5.0
_LARGEST = 1 << 30
_logger = logging.getLogger(__name__)

Waiting = Callable[[datetime], Iterable[Submission]]
"""Gives the signed submissions of before a moment that wait or run."""


@dataclass(slots=True)
class _Ids:
    """What such a file says, a line each.

    ``<id>`` was deleted, on or after the day of the last line ``@<day>`` above it; ``since <moment>``: of the
    jobs submitted before, the ids are dropped, and only those with a line ``+<id>`` may run.
    """

    since: datetime | None = None
    deleted: dict[str, date | None] = field(default_factory=dict)
    waiting: dict[str, date | None] = field(default_factory=dict)
    first_day: date | None = None

    def read(self, text: str) -> None:
        day: date | None = None
        for line in text.splitlines():
            if line.startswith("@"):
                with contextlib.suppress(ValueError):
                    day = date.fromisoformat(line[1:])
                    self.first_day = min(self.first_day or day, day)
            elif line.startswith("since "):
                with contextlib.suppress(ValueError):
                    self.advance(datetime.fromisoformat(line[6:]))
            elif line.startswith("+"):
                self.waiting[line[1:]] = day
            elif line:
                self.deleted[line] = day

    def advance(self, since: datetime) -> None:
        if since.tzinfo is not None and (self.since is None or since > self.since):
            self.since = since


class DeletedIds:
    """The ids in the files `paths`, to which every process on the data folder appends.

    Changes are detected in the first. Without `open`, nothing is repaired or dropped.
    """

    def __init__(self, *paths: Path) -> None:
        self._files = [_File(path) for path in paths]
        self._ids = _Ids()
        self._waiting: Waiting | None = None
        self._lock = threading.RLock()

    def open(self, waiting: Waiting) -> None:
        """Read both files, restore what one of them lacks, and drop outdated entries."""
        self._waiting = waiting
        with self._lock:
            contents = [file.read() or "" for file in self._files]
            for content in contents:
                self._ids.read(content)
            for file, content in zip(self._files, contents, strict=True):
                self._put_back(file, content)
            self._compact_if_due()

    def has(self, job_id: str) -> bool:
        """Whether the result of this job was deleted. Costs one ``stat``, and reading what was appended."""
        if self._files[0].has_changed():
            self._read_on()
        return job_id in self._ids.deleted

    def is_too_old(self, submission: Submission) -> bool:
        """Whether a submission is older than the remembered ids, and was not waiting when they were
        dropped.
        """
        since = self._ids.since
        return (
            since is not None
            and submission.submitted_at < since
            and submission.job_id not in self._ids.waiting
        )

    def add(self, *job_ids: str) -> None:
        """Remember `job_ids` durably. Raises ``OSError`` when neither file can be written."""
        self._append([f"@{utc_now().date()}", *job_ids])
        with self._lock:
            self._ids.deleted.update(dict.fromkeys(job_ids, utc_now().date()))
            self._compact_if_due()

    def keep_waiting(self, submission: Submission) -> None:
        """Remember that a job waits for another attempt, in case it is too old by then."""
        if submission.submitted_at < utc_now() - timedelta(days=KEPT_DAYS) + _MARGIN:
            self._append([f"@{utc_now().date()}", f"+{submission.job_id}"])
            with self._lock:
                self._ids.waiting[submission.job_id] = utc_now().date()

    def _read_on(self) -> None:
        with self._lock:
            file, since = self._files[0], self._ids.since
            added = file.read_on()
            if added is not None:
                self._ids.read(added)
                return
            content = file.read() or ""
            self._ids.read(content)
            if self._ids.since == since:  # or else another process has dropped old ones
                self._ids.read(self._files[-1].read() or "")
                self._put_back(file, content)

    def _put_back(self, file: _File, content: str) -> None:
        found = _Ids()
        found.read(content)
        lines = [f"since {format_utc(self._ids.since)}"] if self._ids.since not in (None, found.since) else []
        for day, prefix, job_id in sorted(_by_day(self._ids), key=lambda each: each[0] or date.min):
            if job_id not in (found.deleted if not prefix else found.waiting):
                lines += [f"@{day}"] if day is not None else []
                lines.append(prefix + job_id)
        if not (lines or found.first_day):
            lines = [f"@{utc_now().date()}"]
        if lines:
            with contextlib.suppress(OSError):
                file.append(lines)

    def _append(self, lines: Sequence[str]) -> None:
        failures = []
        for file in self._files:
            try:
                file.append(lines)
            except OSError as error:
                failures.append((file.path, error))
        if len(failures) == len(self._files):
            raise failures[0][1]
        for path, failure in failures:
            _logger.warning("The ids of deleted jobs cannot be written to %s: %s", path, failure)

    def _compact_if_due(self) -> None:
        """Drop old ids once half of the file may be such."""
        oldest = self._ids.since.date() if self._ids.since else self._ids.first_day
        now = utc_now()
        if self._waiting is None or oldest is None or oldest > (now - timedelta(days=2 * KEPT_DAYS)).date():
            return
        since = datetime.combine((now - timedelta(days=KEPT_DAYS)).date(), datetime.min.time(), UTC)
        # Listed first: what is told to wait later says so itself.
        waiting = {
            each.job_id
            for each in self._waiting(since)
            if each.job_id not in self._ids.deleted and not self.is_too_old(each)
        }
        kept = _Ids(since, first_day=since.date())
        for file in self._files:
            with contextlib.suppress(OSError):
                file.rewrite(lambda text: _without_old(text, since, waiting))
                kept.read(file.read() or "")
        self._ids = kept


def _by_day(ids: _Ids) -> Iterator[tuple[date | None, str, str]]:
    yield from ((day, "+", job_id) for job_id, day in ids.waiting.items())
    yield from ((day, "", job_id) for job_id, day in ids.deleted.items())


def _without_old(text: str, since: datetime, waiting: Iterable[str]) -> str:
    """What of `text` still matters when the jobs that were submitted before `since` are forgotten."""
    found = _Ids(since)
    found.read(text)
    since = found.since or since
    first = found.first_day or utc_now().date()
    lines = [f"since {format_utc(since)}", *(f"+{job_id}" for job_id in sorted(waiting))]
    last: date | None = None
    for day, prefix, job_id in sorted(_by_day(found), key=lambda each: each[0] or first):
        # A line above the first day is of the release that wrote none: older than that day.
        if (day or first) >= since.date():
            lines += [f"@{day or first}"] if last != (day or first) else []
            last = day or first
            lines.append(prefix + job_id)
    return "".join(f"{line}\n" for line in [*lines, f"@{utc_now().date()}"])


class _File:
    """One of the files. Not followed as a link, not waited for as a pipe: a job may have put those there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = str(path)
        self._size = 0
        self._inode = 0

    def has_changed(self) -> bool:
        """Whether there is more to read, or another file, or none any more."""
        try:
            found = os.lstat(self._name)
        except OSError:
            return self._inode != 0
        return (found.st_size, found.st_ino) != (self._size, self._inode)

    def read_on(self) -> str | None:
        """What was added since the last time; ``None`` when that is not the same file any more."""
        with contextlib.suppress(OSError), self._opened(os.O_RDONLY) as descriptor:
            found = os.fstat(descriptor)
            if found.st_ino == self._inode and found.st_size >= self._size:
                return self._read(descriptor, self._size)
        return None

    def read(self) -> str | None:
        """All of it; ``None`` when there is no such file, or something else of that name."""
        with contextlib.suppress(OSError), self._opened(os.O_RDONLY) as descriptor:
            return self._read(descriptor, 0)
        return None

    def _read(self, descriptor: int, start: int) -> str:
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(start)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]  # another process may be writing
        self._size, self._inode = start + len(whole), os.fstat(descriptor).st_ino
        return whole.decode("ascii", "replace")

    def append(self, lines: Sequence[str]) -> None:
        """Add `lines`, durably."""
        with self._locked(shared=True) as descriptor:
            is_new = os.fstat(descriptor).st_size == 0
            data = "".join(f"{line}\n" for line in lines).encode("ascii", "replace")
            # A line that was cut short by a full disk must not swallow the first of these.
            written = os.write(descriptor, b"\n" + data)
            if written != len(data) + 1:
                raise OSError(errno.ENOSPC, "the ids of deleted jobs were written only in part", self._name)
            sync_file(descriptor)
        if is_new:
            sync_folder(self.path.parent)

    def rewrite(self, change: Callable[[str], str]) -> None:
        """Put what `change` makes of the content in its place, while nobody appends to it."""
        with self._locked(shared=False) as descriptor, open(descriptor, "rb", closefd=False) as file:
            replace_file(self.path, change(file.read().decode("ascii", "replace")).encode())

    @contextlib.contextmanager
    def _locked(self, *, shared: bool) -> Iterator[int]:
        """The open file, and not one that was replaced meanwhile, locked against `rewrite`."""
        make_folder(self.path.parent)
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            with self._opened(os.O_RDWR | os.O_APPEND | os.O_CREAT) as descriptor:
                if self._lock(descriptor, shared=shared):
                    yield descriptor
                    return
            if time.monotonic() > deadline:
                raise OSError("the ids of deleted jobs are locked by another process")
            time.sleep(0.01)

    def _lock(self, descriptor: int, *, shared: bool) -> bool:
        try:
            lock(descriptor, shared=shared)
            return os.lstat(self._name).st_ino == os.fstat(descriptor).st_ino
        except (LockBusyError, FileNotFoundError):
            return False

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        # Whoever writes has what is no such file moved away; who only reads leaves it to them.
        descriptor = open_in_place(self._name, flags) if flags & os.O_CREAT else open_regular(self._name)
        try:
            if os.fstat(descriptor).st_size > _LARGEST:
                set_aside(self._name, "no such file is as large as that")
                raise OSError(f"{self.path} is too large to be read")
            yield descriptor
        finally:
            os.close(descriptor)
