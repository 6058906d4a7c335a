"""ResultKeeper: stores a job's result and sends its notices, or accepts another attempt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from ...model.job import JobResult, utc_now
from ..base import ClaimedJob, Notifier
from ..running.attempts import with_attempts
from .queue import PendingJob
from .store import FileSystemStore


class KeptResult(NamedTuple):
    """A stored result, and what the notifier has prepared for it."""

    record: dict[str, Any]
    notices: Any = None


class ResultKeeper:
    """Stores results in `store`, and has `notifier` send the notices that their submitters asked for."""

    def __init__(self, store: FileSystemStore, notifier: Notifier | None) -> None:
        self._store = store
        self._notifier = notifier

    async def finish(
        self, claimed: ClaimedJob, result: JobResult, *, cancelled: bool
    ) -> KeptResult | PendingJob:
        """Store the result of the last attempt or, if another follows, accept that attempt."""
        submission = claimed.submission
        policy = submission.retry
        if policy and not cancelled and policy.covers(result.status, submission.attempt):
            run_at = utc_now() + timedelta(seconds=policy.delay(submission.attempt))
            return await self._store.retry(claimed, result, run_at)
        if submission.attempt > 1:
            earlier = await self._store.attempts(submission)
            result = with_attempts(result, earlier)
        notifier = self._notifier if submission.notify else None
        notices = await notifier.prepare(submission, result) if notifier else None
        return KeptResult(await self._store.finish(claimed, result), notices)

    async def release(self, notices: Any) -> None:
        """Send what was prepared for a result, after the job's watchers have learned of its end."""
        if self._notifier is not None:
            await self._notifier.release(notices)
