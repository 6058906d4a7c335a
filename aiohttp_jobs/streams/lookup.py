"""Finding one job wherever it is: running or waiting, in whichever process, or ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..engine.base import JobHistory, JobQueue, JobState
from ..errors import NotFoundError
from ..model.job import Submission


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job: how it stands or, once it has ended, its `record`."""

    state: JobState | None = None
    record: dict[str, Any] | None = None

    @property
    def known(self) -> JobState:
        """How it stands when it has not ended."""
        if self.state is None:
            raise LookupError("the job has ended")
        return self.state

    @property
    def owner(self) -> str:
        return str(self.record.get("UserID", "")) if self.record is not None else self.known.user_id

    @property
    def attempt(self) -> int:
        """The last attempt, or the one of this moment."""
        if self.record is None:
            return self.known.attempt
        attempt = self.record.get("Attempt")  # in a file that anybody may have written
        return attempt if isinstance(attempt, int) else 1


class JobLookup:
    """Asks `queue` for what has not ended, and `history` for what has."""

    def __init__(self, queue: JobQueue, history: JobHistory) -> None:
        self._queue = queue
        self._history = history

    async def find(self, job_id: str) -> FoundJob:
        """The job with that id. Raises `NotFoundError`."""
        # Twice, because it may end in another process between the two looks.
        for _ in range(2):
            state = await self._queue.get(job_id)
            if state is not None:
                return FoundJob(state)
            record = await self._history.get_result(job_id)
            if record is not None:
                return FoundJob(record=record)
        raise NotFoundError(f"There is no job {job_id}.")

    async def submission(self, found: FoundJob) -> Submission | None:
        """What was submitted, as far as it is known."""
        if found.record is not None:
            return await self._history.submission_of(found.record)
        if found.known.submission is not None:
            return found.known.submission
        return await self._history.current_submission(found.known.job_id)

    async def earlier_attempts(self, found: FoundJob) -> list[dict[str, Any]]:
        """The kept results of the attempts before its last one, first to last."""
        if found.attempt == 1:
            return []
        if found.record is not None:
            return await self._history.attempts_of(found.record)
        submission = await self.submission(found)
        if submission is None:
            return []
        return await self._history.attempts(submission.model_copy(update={"attempt": found.attempt}))
