"""Accepts and claims jobs: writes submission files, within the limits on waiting jobs, and moves them when
they are picked up.

All calls run in the committer's thread, once or twice for each job; so paths are plain text here, and files
that this process wrote are not parsed again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

from ....errors import MayStillRunError
from ....model.job import Submission, new_job_id
from ....system.atomic import make_folder, put_file
from ....system.guarded_files import LockBusyError, is_folder, is_regular, lock_file, set_aside_unless_folder
from ....system.jsontext import indented
from ....system.signing import Signer
from ...base import ClaimedJob
from ..queue import Allowance, KeyBusyError, PendingJob, QueuePausedError
from .attempt_folders import AttemptFolders
from .concurrency_keys import KeyLocks
from .deleted_ids import DeletedIds
from .group_commit import CommittedChange
from .instances import Instance
from .journal import JournalEntry, Kind
from .layout import Attempt, Layout, safe_component
from .left_undone import NOTHING_TO_DO, LeftUndone
from .submission_reader import (
    EXPIRED,
    Accepted,
    AcceptedFile,
    ReadSubmission,
    SubmissionReader,
    is_visible,
    picked_up_before,
)

_LOCK_SECONDS = 0.05
"""For longer than it takes to count and to write a file: whoever holds it longer is not waited for."""


class Accepting:
    """Enforces the limits on a user's waiting jobs across `instance` and the folder's other processes.

    A process that is alone counts in memory.
    """

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
            return NOTHING_TO_DO
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


class Intake:
    """Accepts jobs for the process `instance`. `expect` is called before each file that is left waiting.

    What a failing disk neither makes durable nor lets be undone is `left_undone`, by where the job waits or
    had waited.
    """

    def __init__(
        self,
        at: Layout,
        instance: Instance,
        run_folders: AttemptFolders,
        signer: Signer,
        reader: SubmissionReader,
        keys: KeyLocks,
        deleted_ids: DeletedIds,
        left_undone: LeftUndone,
        accepting: Accepting,
        expect: Callable[[str], None] = lambda path: None,
    ) -> None:
        self._at = at
        self._instance = instance
        self._run_folders = run_folders
        self._signer = signer
        self._reader = reader
        self._keys = keys
        self._deleted_ids = deleted_ids
        self._accepting = accepting
        self._expect = expect
        self._accepted = Accepted()
        self._left_undone = left_undone

    def accept(
        self, submission: Submission, allowance: Allowance | None = None
    ) -> CommittedChange[PendingJob]:
        """Write a submission where it waits to be picked up.

        Raises `TooManyPendingError` when `allowance` is exceeded.
        """
        run, user_folder = Attempt.of(submission), safe_component(submission.user_id)
        folder, target = self._at.waiting_folder(user_folder), self._at.waiting_file(user_folder, run.stem)
        data = indented(self._signer.sign(submission.to_record()))
        self._expect(target)
        if not is_folder(folder):  # the user's first; or a link, which nobody would find what is in
            set_aside_unless_folder(folder, "the folder of a user's submissions belongs there")
            make_folder(Path(folder))
        with self._accepting.turn(submission, allowance), self._left_undone.replaced(target):
            put_file(target, data, self._instance.scratch)
        self._accepted.add(target, len(data), submission, self._instance.comings)
        entry = _entry(Kind.ADDED, run.name, user_folder, submission, data)
        pending = pending_job(target, ReadSubmission(submission, None), run)
        undo = partial(self._take_back, run.job_id, target)
        return CommittedChange(pending, entry, (target,), (folder,), undo=undo)

    def start(
        self,
        submission: Submission,
        allowance: Allowance | None = None,
        placed: Callable[[str], None] | None = None,
    ) -> CommittedChange[tuple[PendingJob, ClaimedJob]]:
        """Accept a submission with a new id as already claimed, with one journal entry for both.

        `placed` is told the job's own folder. Raises `QueuePausedError` and `TooManyPendingError`.
        """
        self._accepting.require_start(submission, allowance)
        run, user_folder = Attempt.of(submission), safe_component(submission.user_id)
        name = run.name
        target, waiting = self._at.claimed_file(run), self._at.waiting_file(user_folder, run.stem)
        data = indented(self._signer.sign(submission.to_record()))
        folders = self._run_folders.begin(name, user_folder, signed=True)
        try:
            put_file(target, data, self._instance.scratch)
        except BaseException:
            self._run_folders.remove(name)
            raise
        pending = pending_job(waiting, ReadSubmission(submission, None), run)
        claimed = ClaimedJob(submission.job_id, submission, *folders, accepted_here=True, is_signed=True)
        entry = _entry(Kind.CLAIMED, name, user_folder, submission, data)
        undo = partial(self._take_back_started, run, target)
        if placed is not None:
            # Last, so that what it has done goes on beside the journal, and not beside this.
            placed(folders.job_dir)
        return CommittedChange(
            (pending, claimed), entry, (target,), (self._at.output, self._instance.jobs), undo=undo
        )

    def _take_back(self, job_id: str, target: str) -> bool:
        """Undo `accept`, unless the job has been picked up, by another process.

        Raises `MayStillRunError` when the disk refuses that.
        """
        self._accepted.take(target)
        try:
            os.unlink(target)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._left_undone.add(target, partial(_remove, target))
            raise MayStillRunError.of(job_id) from error
        return True

    def _take_back_started(self, run: Attempt, target: str) -> bool:
        """Undo `start`. Raises `MayStillRunError` when the disk refuses that."""
        self._run_folders.remove(run.name)
        try:
            _remove(target)
        except OSError as error:
            self._left_undone.add(target, partial(_remove, target))
            # Without its folder it is no job of this process, nor of the next one.
            if f"{self._instance.jobs}/{run.name}" in self._left_undone:
                raise MayStillRunError.of(run.job_id) from error
        return True

    def _put_back(self, pending: PendingJob, run: Attempt) -> bool:
        """Undo `claim`: the job goes on waiting."""
        if pending.lock is not None:
            self._keys.release(pending.lock)
        self._left_undone.add(pending.key, partial(self._return, pending.key, run))
        self._left_undone.finish(pending.key)
        return True

    def _return(self, key: str, run: Attempt) -> None:
        """Move what was picked up back to where it waited."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._at.claimed_file(run), key)
        self._run_folders.remove(run.name)

    def elsewhere(self, waiting: Collection[PendingJob]) -> Collection[PendingJob]:
        """Those of `waiting` that another process has, if their files are gone: this one has not."""
        return [job for job in waiting if job.key not in self._left_undone]

    def claim(self, pending: PendingJob, unless_paused: bool) -> CommittedChange[ClaimedJob | None]:
        """Pick a job up; the value is ``None`` when another process has.

        Raises `KeyBusyError` and, with `unless_paused`, `QueuePausedError`.
        """
        if unless_paused:
            self._accepting.require_not_paused()
        if pending.lock is None:
            return self._claim(pending)
        if not self._keys.acquire(pending.lock):
            raise KeyBusyError
        claimed: CommittedChange[ClaimedJob | None] = CommittedChange(None)
        try:
            claimed = self._claim(pending)
        finally:
            if claimed.value is None:
                self._keys.release(pending.lock)
        return claimed

    def _claim(self, pending: PendingJob) -> CommittedChange[ClaimedJob | None]:
        folder = pending.key.rpartition("/")[0]
        user_folder = folder.rpartition("/")[2]
        run, fault = Attempt(pending.stem, pending.attempt), pending.problem
        self._left_undone.finish(pending.key)
        accepted = self._accepted.take(pending.key)
        if fault is None and self._was_used(run, accepted):
            if self._has_gone_on(pending, user_folder):
                return CommittedChange(None)
            run = Attempt(f"{pending.stem.rpartition('_')[0]}_{new_job_id()}", 1)
            fault = picked_up_before(pending.job_id)
        folders = self._run_folders.begin(run.name, user_folder, signed=accepted is not None)
        target = self._at.claimed_file(run)
        # Before it is moved, which changes a time of the file that nobody can set back.
        known = accepted.submission_in(pending.key) if accepted is not None else None
        try:
            os.rename(pending.key, target)
        except OSError as error:
            self._run_folders.remove(run.name)
            if isinstance(error, FileNotFoundError):
                return CommittedChange(None)
            raise
        read = ReadSubmission(known, None) if known else self._reader.read_claimed(Path(target), user_folder)
        submission, problem = read
        if problem is None and read.is_signed and self._deleted_ids.is_too_old(submission):
            problem = EXPIRED
        if problem is None and not _is_same(submission, pending):
            problem = "The submission file was exchanged for another while it waited."
        if (submission.job_id, submission.user_id) != (run.job_id, pending.user_id):
            submission = submission.model_copy(update={"job_id": run.job_id, "user_id": pending.user_id})
        problem, lock, is_ours = fault or problem, pending.lock, known is not None
        is_signed = is_ours or read.is_signed
        claimed = ClaimedJob(run.job_id, submission, *folders, problem, lock, is_ours, is_signed)
        entry = JournalEntry(Kind.CLAIMED, run.name, user_folder)
        undo = partial(self._put_back, pending, run)
        return CommittedChange(claimed, entry, (), (self._at.output, folder), undo=undo)

    def _was_used(self, run: Attempt, accepted: AcceptedFile | None) -> bool:
        """Whether the job was picked up before, of which a copy may have been put back."""
        if accepted is None:
            return self.has_ended(run.job_id) or os.path.exists(self._at.claimed_file(run))
        # What this process accepted, and nobody else has picked up since, has no result.
        if self._instance.is_alone_since(accepted.comings):
            return False
        return self._deleted_ids.has(run.job_id) or os.path.exists(self._at.claimed_file(run))

    def _has_gone_on(self, pending: PendingJob, user_folder: str) -> bool:
        """Whether another attempt of the job waits by now where `pending` was seen, or nothing does."""
        try:
            found = self._reader.read(Path(pending.key), user_folder)
        except FileNotFoundError:
            return True
        is_same_job = found.problem is None and found.submission.job_id == pending.job_id
        return is_same_job and found.submission.attempt != pending.attempt

    def has_ended(self, job_id: str) -> bool:
        """Whether a job with this id has ended, even if its result was deleted since."""
        return self._deleted_ids.has(job_id) or os.path.exists(self._at.result_file(job_id))


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _entry(
    kind: Kind, run: str, user_folder: str, submission: Submission, data: bytes
) -> JournalEntry | None:
    """What the journal is told of a new file; nothing of secret values, which it would keep for too long."""
    if submission.sealed_values is not None:
        return None
    return JournalEntry(kind, run, user_folder, data)


def pending_job(path: str, read: ReadSubmission, run: Attempt | None = None) -> PendingJob:
    """The job that waits in the file `path`; `run` is its attempt, if known already."""
    job, problem = read
    return PendingJob(
        key=path,
        stem=(run or Attempt.of(job)).stem,
        job_id=job.job_id,
        user_id=job.user_id,
        job_name=job.job_name,
        mode=job.execution_mode if problem is None else None,
        submitted_at=job.submitted_at,
        priority=job.priority,
        run_at=job.run_at,
        concurrency_key=job.concurrency_key,
        concurrency_owner=job.concurrency_owner if job.template_id or job.function else None,
        attempt=job.attempt,
        problem=problem,
        size=len(job.command.encode("utf-8", "replace")),
        function=job.function if problem is None else None,
        function_version=job.function_version if problem is None else None,
    )


def _is_same(submission: Submission, pending: PendingJob) -> bool:
    found = (submission.job_id, submission.execution_mode, submission.attempt, submission.function)
    return found == (pending.job_id, pending.mode, pending.attempt, pending.function)
