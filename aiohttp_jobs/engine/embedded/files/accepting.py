"""Enforces the limits on a user's waiting jobs across the processes on one data folder.

A process that is alone counts in memory. All calls block, in the committer's thread.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ....model.job import Submission
from ....system.atomic import make_folder
from ....system.guarded_files import LockBusyError, is_regular, lock_file
from ..job_store import Allowance, QueuePausedError
from .instances import Instance
from .layout import Layout, safe_component
from .submission_reader import is_visible

_LOCK_SECONDS = 0.05
"""For longer than it takes to count and to write a file: whoever holds it longer is not waited for."""


class Accepting:
    """Counts the waiting files of the process `instance` and of all others."""

    def __init__(self, at: Layout, instance: Instance) -> None:
        self._at = at
        self._instance = instance

    def turn(
        self, submission: Submission, allowance: Allowance | None
    ) -> contextlib.AbstractContextManager[None]:
        """While the block runs, no other process accepts a job of the same user.

        Raises `TooManyPendingError` when no further job may wait.
        """
        if allowance is None or not self._instance.has_others():
            return contextlib.nullcontext()
        return self._shared_turn(submission, allowance)

    @contextlib.contextmanager
    def _shared_turn(self, submission: Submission, allowance: Allowance) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            make_folder(self._at.keys)
            path = self._at.keys / f"{safe_component(submission.user_id)}.accepting"
            # One that is stopped just then must not hold up everybody: two might accept one too many.
            with contextlib.suppress(LockBusyError):
                stack.callback(os.close, lock_file(path, _LOCK_SECONDS))
            self._require_turn(submission, allowance)
            yield

    def require_start(self, submission: Submission, allowance: Allowance | None) -> None:
        """Raise `TooManyPendingError`, or `QueuePausedError` when another process has paused the queue."""
        if self._instance.has_others():
            self.require_not_paused()
            if allowance is not None:
                self._require_turn(submission, allowance)

    def require_not_paused(self) -> None:
        """Raise `QueuePausedError` when another process has paused the queue."""
        if self._instance.has_others() and is_regular(self._at.paused):
            raise QueuePausedError

    def _require_turn(self, submission: Submission, allowance: Allowance) -> None:
        count = size = 0
        folder = self._at.submissions / safe_component(submission.user_id)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                if is_visible(entry.name):
                    count += 1
                    size += _command_size(entry, allowance)
        allowance.most.require_turn(count, size, len(submission.command.encode()))


def _command_size(entry: os.DirEntry[str], allowance: Allowance) -> int:
    """Of a file that was not read yet, that of the file, which is somewhat larger."""
    job_id = entry.name.removesuffix(".json").rpartition("_")[2]
    known = allowance.size_of(job_id)
    if known is not None:
        return known
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
