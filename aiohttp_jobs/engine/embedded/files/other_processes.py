"""What other processes on the data folder run and have claimed, read from their folders on demand.

Nothing is written for this: each running job has a folder in ``Running/<instance>/jobs/`` and its submission
in ``JobOutput/``. Dead processes are handled in ``orphans``. All calls block; from any thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from ....model.job import Submission
from ....model.progress import LONGEST, TAIL, Progress, last_progress
from ....system.guarded_files import is_regular
from ....worker.output.segments import existing, read_segments
from ..findings import OtherProcesses, RunningElsewhere
from ..queue import PendingJob
from .attempt_folders import owner_in
from .dropped_files import DroppedFiles
from .instances import Instance, is_alive
from .layout import Attempt, Layout, is_settled
from .submission_reader import SubmissionReader, is_visible


class _Listed(NamedTuple):
    """The names in a folder, and the folder's time stamp if it will tell of the next change."""

    changed_at: int | None
    names: frozenset[str]


class _Known(NamedTuple):
    """What is known of a running job for as long as it runs."""

    submission: Submission
    started_at: datetime
    size: int = 0
    progress: Progress | None = None


class OtherProcessesReader:
    """Reads the state of processes other than `instance`; a folder is read only when it has changed."""

    def __init__(self, at: Layout, instance: Instance, reader: SubmissionReader, drops: DroppedFiles) -> None:
        self._at = at
        self._instance = instance
        self._reader = reader
        self._drops = drops
        self._guard = Lock()
        self._listed: dict[str, _Listed] = {}
        self._listed_before: dict[str, _Listed] = {}
        self._known: dict[tuple[str, str], _Known] = {}

    def look(
        self, waiting: Callable[[], Collection[PendingJob]], known: Collection[str]
    ) -> OtherProcesses | None:
        """The state of the other processes; ``None`` when there are none.

        `waiting` are the jobs that wait here.
        """
        if not self._instance.others():
            return None
        with self._guard:
            self._listed, self._listed_before = {}, self._listed
            # In the order in which a job moves on, so that one on its way is seen in either place.
            jobs = waiting()
            there = {path for folder in self._user_folders() for path in self._paths(folder)}
            taken = [job for job in jobs if job.key not in there and not os.path.lexists(job.key)]
            has_news = self._drops.has_news(known)
            return OtherProcesses(is_regular(self._at.paused), taken, has_news, list(self._running()))

    def _user_folders(self) -> list[str]:
        try:
            with os.scandir(self._at.submissions) as users:
                return [user.path for user in users if user.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _paths(self, folder: str) -> Iterator[str]:
        return (f"{folder}/{name}" for name in self._names(folder) if is_visible(name))

    def _running(self) -> Iterator[RunningElsewhere]:
        running: dict[tuple[str, str], _Known] = {}
        for instance in sorted(self._instance.others()):
            if not is_alive(instance):
                continue
            for name in sorted(self._names(str(instance / "jobs"))):
                key, folder = (instance.name, name), instance / "jobs" / name
                known = self._known.get(key) or self._read(folder)
                # The folder of a job that has ended is let go of a moment after its result is there.
                if known is not None and not os.path.lexists(self._at.result_file(known.submission.job_id)):
                    known = running[key] = _with_output(known, folder / "log")
                    is_cancelling = os.path.lexists(folder / "cancel")
                    yield RunningElsewhere(
                        known.submission, known.started_at, known.size, is_cancelling, known.progress
                    )
        self._known = running

    def _read(self, folder: Path) -> _Known | None:
        """``None`` when the job is not there any more, or nothing can be read of it."""
        path = self._at.claimed(Attempt.from_name(folder.name))
        try:
            started_at = datetime.fromtimestamp(path.lstat().st_ctime, UTC)
            read = self._reader.read(path, owner_in(folder) or self._reader.signed_owner(path))
        except OSError:
            return None
        if read.problem is not None:
            return None
        # Time stamps of files are coarse.
        return _Known(read.submission, max(started_at, read.submission.submitted_at))

    def _names(self, folder: str) -> frozenset[str]:
        """What is in a folder, by one ``stat`` when that has not changed."""
        now, listed = time.time_ns(), self._listed_before.get(folder)
        try:
            changed_at = os.lstat(folder).st_mtime_ns
            if listed is None or listed.changed_at != changed_at:
                names = frozenset(os.listdir(folder))
                listed = _Listed(changed_at if is_settled(changed_at, now) else None, names)
        except OSError:
            return frozenset()
        self._listed[folder] = listed
        return listed.names


def _with_output(known: _Known, log: Path) -> _Known:
    """`known` with the size of the output now, and the progress that its end tells of."""
    size, _ = existing(log)
    if size == known.size:
        return known
    tail = read_segments(log, max(known.size - LONGEST, size - TAIL, 0), TAIL, whole=False).data
    found = last_progress(tail)
    return known._replace(size=size, progress=known.progress if found is None else found[0])
