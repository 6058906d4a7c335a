"""Taking over what processes that died have left behind. All calls block."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..models import Submission, utc_now
from .base import ClaimedJob, LostJob
from .files import SubmissionReader
from .instances import Instance
from .journal import read_journal, sync_everything
from .layout import Layout, Run
from .replay import replay
from .run_folders import mark_owner, owner_in
from .sealed import SealedValues
from .spent import SpentIds


class Recovery:
    """Finds the jobs of dead processes. `resubmit` writes the submission of a job's next attempt."""

    def __init__(
        self,
        layout: Layout,
        instance: Instance,
        reader: SubmissionReader,
        resubmit: Callable[[Submission], object],
        spent: SpentIds,
        sealed: SealedValues,
    ) -> None:
        self._layout = layout
        self._instance = instance
        self._reader = reader
        self._resubmit = resubmit
        self._spent = spent
        self._sealed = sealed

    def take_over(self) -> list[LostJob]:
        lost: list[LostJob] = []
        with self._instance.dead() as folders:
            if folders:
                self._put_back(folders)
            for dead in folders:
                for folder in _subfolders(dead / "jobs"):
                    lost.extend(self._adopt(folder, dead.name))
                shutil.rmtree(dead, ignore_errors=True)
        return lost

    def _put_back(self, folders: Sequence[Path]) -> None:
        """Make good for a power cut, and see that the journals are not needed any more."""
        entries = [entry for dead in folders for entry in read_journal(dead)]
        for entry in replay(self._layout, self._spent, entries):
            run = Run.from_name(entry.run)
            folder = folders[0] / "jobs" / entry.run
            if self._layout.result(run.job_id).exists():
                self._sealed.remove_from(self._layout.claimed(run))
            elif not _is_kept(folders, entry.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                mark_owner(folder, entry.folder)
        sync_everything(self._layout.base)

    def _adopt(self, folder: Path, instance_id: str) -> Iterator[LostJob]:
        """Move a dead process's job into this one's care, unless it had ended or not begun."""
        run = Run.from_name(folder.name)
        claimed_file = self._layout.claimed(run)
        if self._layout.result(run.job_id).exists():
            self._sealed.remove_from(claimed_file)
            return
        try:
            started = claimed_file.stat().st_ctime
            owner = owner_in(folder) or self._reader.signed_owner(claimed_file)
        except FileNotFoundError:
            return  # it was never claimed: it is still pending
        submission, problem = self._reader.read_claimed(claimed_file, owner)
        if self._layout.attempt_result(run).exists():
            self._resume_retry(run, submission)
            self._sealed.remove_from(claimed_file)
            return
        log = folder / "log"
        times = [path.stat().st_mtime for path in log.iterdir()] if log.is_dir() else []
        run_dir = self._instance.adopt(folder)
        owned = submission.model_copy(update={"job_id": run.job_id})
        claimed = ClaimedJob(run.job_id, owned, str(run_dir), problem)
        yield LostJob(claimed, instance_id, _utc(started), _utc(max([started, *times])))

    def _resume_retry(self, run: Run, submission: Submission) -> None:
        """The attempt had ended and another was decided on: see that it is there, once."""
        following = run.number(run.attempt + 1)
        waiting = self._layout.submission(submission.user_id, run.stem)
        # In this order: a live process may move it from the first place to the second meanwhile.
        if not waiting.exists() and not self._layout.claimed(following).exists():
            self._resubmit(submission.model_copy(update={"attempt": following.attempt, "run_at": utc_now()}))


def _is_kept(folders: Sequence[Path], run: str) -> bool:
    return any((dead / "jobs" / run).exists() for dead in folders)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return []


def _utc(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
