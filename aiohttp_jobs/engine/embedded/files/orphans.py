"""Takes over the jobs of processes that died. All calls block."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ....model.job import Submission, utc_now
from ....system.guarded_files import is_folder
from ....worker.output.segments import segments
from ...base import ClaimedJob
from ..findings import LostJob
from .attempt_folders import mark_owner, owner_in
from .deleted_ids import DeletedIds
from .instances import Instance
from .journal import read_journal, sync_everything
from .journal_replay import is_whole, replay
from .layout import Attempt, Layout
from .sealed_values import SealedValues
from .submission_reader import EXPIRED, ReadSubmission, SubmissionReader, picked_up_before

_logger = logging.getLogger(__name__)


class Recovery:
    """Finds the jobs of dead processes. `resubmit` writes the submission of a job's next attempt."""

    def __init__(
        self,
        layout: Layout,
        instance: Instance,
        reader: SubmissionReader,
        resubmit: Callable[[Submission], object],
        deleted_ids: DeletedIds,
        sealed: SealedValues,
    ) -> None:
        self._layout = layout
        self._instance = instance
        self._reader = reader
        self._resubmit = resubmit
        self._deleted_ids = deleted_ids
        self._sealed = sealed
        self._complained: set[Path] = set()

    def undo_power_cut(self) -> None:
        """Restore files lost in a power cut. To be called before any of them is read."""
        with self._instance.dead() as folders:
            if folders:
                self._put_back(folders)

    def take_over(self) -> list[LostJob]:
        """The jobs of dead processes, which this process owns from now on.

        A job that cannot be taken over is logged once, retried the next time, and delays no other.
        """
        lost: list[LostJob] = []
        with self._instance.dead() as folders:
            if folders:
                self._put_back(folders)
            for dead in folders:
                taken = [self._take(folder, folders, lost) for folder in _subfolders(dead / "jobs")]
                if all(taken):  # or else it is tried again
                    self._instance.discard_dead(dead)
        return lost

    def _take(self, folder: Path, dead: Sequence[Path], lost: list[LostJob]) -> bool:
        """Add to `lost` what was running in `folder`, of one of the `dead`; false when that failed."""
        try:
            lost.extend(self._adopt(folder, dead))
        except OSError as error:
            if folder not in self._complained:
                self._complained.add(folder)
                _logger.error("What ran in %r cannot be taken over yet: %s", str(folder), error)
            return False
        return True

    def _put_back(self, folders: Sequence[Path]) -> None:
        """Make good for a power cut, and see that the journals are not needed any more."""
        entries = [entry for dead in folders for entry in read_journal(dead)]
        for entry in replay(self._layout, self._deleted_ids, entries):
            run = Attempt.from_name(entry.run)
            folder = folders[0] / "jobs" / entry.run
            if is_whole(self._layout.result(run.job_id)):
                self._sealed.remove_from(self._layout.claimed(run))
            elif not _is_kept(folders, entry.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                mark_owner(folder, entry.folder)
        sync_everything(self._layout.base)

    def _adopt(self, folder: Path, dead: Sequence[Path]) -> Iterator[LostJob]:
        """Move a dead process's job into this one's care, unless it had ended or not begun.

        Raises ``OSError`` when that is not possible now.
        """
        run = Attempt.from_name(folder.name)
        claimed_file = self._layout.claimed(run)
        # An empty result is of a process that was killed before it was durable; then the power failed.
        if is_whole(self._layout.result(run.job_id)) or self._deleted_ids.has(run.job_id):
            self._sealed.remove_from(claimed_file)
            return
        if is_folder(self._instance.jobs / folder.name):
            return
        # Only one process has a run: a second folder was made by somebody who wants it to be taken for lost.
        if self._instance.is_run_elsewhere(folder, dead):
            raise OSError("another process, which lives, has it")
        try:
            started = claimed_file.lstat().st_ctime
            owner = owner_in(folder) or self._reader.signed_owner(claimed_file)
        except FileNotFoundError:
            return  # it was never claimed: it is still pending
        read = self._reader.read_claimed(claimed_file, owner)
        submission, problem = read.submission, read.problem or self._refusal(run, read)
        if problem is None and self._layout.attempt_result(run).exists():
            self._resume_retry(run, submission)
            self._sealed.remove_from(claimed_file)
            return
        # Not after this moment: a job may have dated its files ahead.
        times = [min(path.lstat().st_mtime, time.time()) for path in segments(folder / "log")]
        run_dir = self._instance.adopt(folder)
        owned = submission.model_copy(update={"job_id": run.job_id})
        claimed = ClaimedJob(run.job_id, owned, str(run_dir), problem=problem)
        yield LostJob(claimed, folder.parents[1].name, _utc(started), _utc(max([started, *times])))

    def _refusal(self, run: Attempt, read: ReadSubmission) -> str | None:
        """Why what was picked up as `run` had been refused then, or was put there by somebody since."""
        submission = read.submission
        if (submission.job_id, submission.attempt) != (run.job_id, run.attempt):
            return picked_up_before(submission.job_id)
        return EXPIRED if read.is_signed and self._deleted_ids.is_too_old(submission) else None

    def _resume_retry(self, run: Attempt, submission: Submission) -> None:
        """The attempt had ended and another was decided on: see that it is there, once."""
        following = run.number(run.attempt + 1)
        waiting = self._layout.submission(submission.user_id, run.stem)
        # In this order: a live process may move it from the first place to the second meanwhile.
        if not self._waits(waiting, following) and not self._layout.claimed(following).exists():
            self._resubmit(submission.model_copy(update={"attempt": following.attempt, "run_at": utc_now()}))

    def _waits(self, waiting: Path, run: Attempt) -> bool:
        """Whether `run` is what waits in a file, and not a copy of an attempt before it."""
        try:
            read = self._reader.read(waiting, waiting.parent.name)
        except FileNotFoundError:
            return False
        return read.problem is None and read.submission.attempt == run.attempt


def _is_kept(folders: Sequence[Path], run: str) -> bool:
    return any((dead / "jobs" / run).exists() for dead in folders)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if is_folder(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _utc(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
