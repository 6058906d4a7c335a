"""Finds one job, whether it waits, runs in whichever process, or has ended."""

from __future__ import annotations

from typing import Any

from ...engine.base import FoundJob, JobHistory, JobQueue
from ...errors import NotFoundError
from ...model.job import Submission


class JobLookup:
    """Looks jobs up in `queue`, and their stored data in `history`."""

    def __init__(self, queue: JobQueue, history: JobHistory) -> None:
        self._queue = queue
        self._history = history

    async def find(self, job_id: str) -> FoundJob:
        """The job with this id. Raises `NotFoundError`."""
        found = await self._queue.look_up(job_id)
        if found is None:
            raise NotFoundError(f"There is no job {job_id}.")
        return found

    async def submission(self, found: FoundJob) -> Submission | None:
        """The job's submission; ``None`` if it is no longer stored."""
        if found.record is not None:
            return await self._history.submission_of(found.record)
        if found.known.submission is not None:
            return found.known.submission
        return await self._history.current_submission(found.known.job.job_id)

    async def earlier_attempts(self, found: FoundJob) -> list[dict[str, Any]]:
        """The stored results of the attempts before the last one, first to last."""
        if found.attempt == 1:
            return []
        if found.record is not None:
            return await self._history.attempts_of(found.record)
        submission = await self.submission(found)
        if submission is None:
            return []
        return await self._history.attempts(submission.model_copy(update={"attempt": found.attempt}))
