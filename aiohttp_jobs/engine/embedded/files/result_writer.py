"""Ends jobs: writes the result or accepts the next attempt, and releases the run folders.

The counterpart of ``submissions``. Changes are made in the committer's thread, except large or rare ones. All
calls block.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from ....model.job import JobResult, Submission
from ....system.atomic import put_file, put_in_place, replace_file, write_aside
from ....system.guarded_files import is_folder, set_aside
from ....system.jsontext import indented
from ...base import ClaimedJob
from ..queue import PendingJob
from .attempt_folders import AttemptFolders
from .concurrency_keys import KeyLocks
from .deleted_ids import DeletedIds
from .group_commit import CommittedChange
from .instances import Instance
from .journal import JournalEntry, Kind
from .layout import Attempt, Layout, safe_component
from .left_undone import LeftUndone
from .sealed_values import SealedValues
from .submission_reader import ReadSubmission
from .submissions import pending_job


class ResultWriter:
    """Ends the jobs of the process `instance`.

    `resubmit` accepts another attempt; `ended` is called with the owner and the id of each job that gets its
    result. Jobs that a failing disk does not let go of at their end are `left_undone`.
    """

    def __init__(
        self,
        at: Layout,
        instance: Instance,
        run_folders: AttemptFolders,
        keys: KeyLocks,
        sealed: SealedValues,
        deleted_ids: DeletedIds,
        left_undone: LeftUndone,
        resubmit: Callable[[Submission], PendingJob],
        ended: Callable[[str, str], None],
    ) -> None:
        self._at = at
        self._instance = instance
        self._run_folders = run_folders
        self._keys = keys
        self._sealed = sealed
        self._deleted_ids = deleted_ids
        self._tried: set[str] = set()
        """Runs whose end was begun to be written. Where the disk refuses to make it durable, it may be seen,
        gone on with or deleted before it is written again."""
        self._left_undone = left_undone
        self._resubmit = resubmit
        self._ended = ended

    def write_aside(self, record: dict[str, Any]) -> str:
        """Write a result to a temporary file and return its name; from any thread."""
        target = self._at.result_file(record["JobID"])
        return write_aside(target, indented(record), self._instance.scratch, sync=True)

    def finish(self, claimed: ClaimedJob, record: dict[str, Any], aside: str | None) -> CommittedChange[bool]:
        """Store the result `record`, which may be in the file `aside` already.

        The value is false when an earlier try was seen and has been deleted since: then there is no result.
        """
        run, job_id = claimed.run_dir.rpartition("/")[2], record["JobID"]
        target = self._at.result_file(job_id)
        was_tried = self._begin(run)
        if was_tried and self._deleted_ids.has(job_id):
            _discard(aside)
            return self._leave_deleted(claimed, target)
        try:
            self._keep_log(claimed, record)
        except BaseException:
            _discard(aside)
            raise
        entry: JournalEntry | None = None
        unsynced: Sequence[str] = ()
        if aside is not None:
            put_in_place(aside, target)
        else:
            data = indented(record)
            put_file(target, data, self._instance.scratch)
            entry, unsynced = JournalEntry(Kind.ENDED, run, "", data), (target,)
        if was_tried and self._deleted_ids.has(job_id):  # meanwhile
            return self._leave_deleted(claimed, target)
        self._free_key(claimed)
        # A folder whose job has a result is taken for what it is, should this process die before.
        let_go = partial(self._let_go, claimed)
        return CommittedChange(True, entry, unsynced, (self._at.results,), let_go)

    def _leave_deleted(self, claimed: ClaimedJob, target: str) -> CommittedChange[bool]:
        """End a job whose result somebody has deleted."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        self._free_key(claimed)
        return CommittedChange(False, folders=(self._at.results,), afterwards=partial(self._let_go, claimed))

    def retry(self, claimed: ClaimedJob, result: JobResult, run_at: datetime) -> PendingJob:
        """Store the result of an attempt and accept the next, due at `run_at`, durably; from any thread."""
        run, record = _run_of(claimed), result.to_record()
        following = claimed.submission.model_copy(update={"attempt": run.attempt + 1, "run_at": run_at})
        if self._begin(run.name) and self._deleted_ids.has(run.job_id):
            pending = self._pending(following)
        else:
            self._keep_log(claimed, record)
            replace_file(self._at.attempt_result(run), indented(record), self._instance.scratch)
            pending = self._accept_once(following)
        self._remove_sealed_values(claimed)
        self._run_folders.remove(run.name)
        self._free_key(claimed)
        self._tried.discard(run.name)
        return pending

    def _begin(self, run: str) -> bool:
        """Whether the end of `run` was begun to be written before."""
        was_tried = run in self._tried
        self._tried.add(run)
        return was_tried

    def _accept_once(self, following: Submission) -> PendingJob:
        """Another process may have picked it up since the disk refused to make it durable."""
        if os.path.exists(self._at.claimed_file(Attempt.of(following))):
            return self._pending(following)
        return self._resubmit(following)

    def _pending(self, following: Submission) -> PendingJob:
        """What waited, and was picked up: whoever wants to claim it finds that it is gone."""
        run = Attempt.of(following)
        path = self._at.waiting_file(safe_component(following.user_id), run.stem)
        return pending_job(path, ReadSubmission(following, None), run)

    def _let_go(self, claimed: ClaimedJob) -> None:
        run = claimed.run_dir.rpartition("/")[2]
        self._tried.discard(run)
        # In this order: the folder of a dead process tells that there may be something left to remove.
        try:
            self._remove_sealed_values(claimed)
        except OSError:
            self._left_undone.add(
                self._at.claimed_file(_run_of(claimed)), partial(self._let_go_late, claimed)
            )
            raise
        else:
            self._run_folders.end(run, safe_component(claimed.submission.user_id))
        finally:
            self._ended(claimed.submission.user_id, claimed.job_id)

    def _let_go_late(self, claimed: ClaimedJob) -> None:
        self._remove_sealed_values(claimed)
        self._run_folders.remove(_run_of(claimed).name)

    def _remove_sealed_values(self, claimed: ClaimedJob) -> None:
        if claimed.submission.sealed_values or claimed.problem is not None:
            self._sealed.remove_from(self._at.claimed(_run_of(claimed)))

    def _keep_log(self, claimed: ClaimedJob, record: dict[str, Any]) -> None:
        if record["OutputTruncated"]:
            source, target = f"{claimed.run_dir}/log", self._at.log(_run_of(claimed))
            if is_folder(source):  # or else an earlier try has moved it
                if os.path.lexists(target):
                    set_aside(target, "a job's output belongs there")
                os.rename(source, target)

    def _free_key(self, claimed: ClaimedJob) -> None:
        if claimed.lock is not None:
            self._keys.release(claimed.lock)


def _discard(aside: str | None) -> None:
    if aside is not None:
        with contextlib.suppress(OSError):
            os.unlink(aside)


def _run_of(claimed: ClaimedJob) -> Attempt:
    return Attempt.from_name(os.path.basename(claimed.run_dir))
