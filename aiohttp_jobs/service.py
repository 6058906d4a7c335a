"""JobService: the one door for routes, CLI and page. Who may do what is decided here.

Storing is left to the store, running to dispatch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from .access import require_endpoint, require_mode
from .auth.identity import Identity
from .config import JobsConfig
from .dispatch.processor import JobProcessor
from .errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ShuttingDownError,
    TooManyPendingError,
)
from .limits import require_within_limits
from .models import InterpreterName, Submission, SubmitRequest, new_job_id, utc_now
from .store.base import JobStore

DEFAULT_MAX_RESULTS = 100
MOST_RESULTS = 1000


class JobService:
    """What a user can do with jobs. Every method takes the `Identity` of whoever asks."""

    def __init__(
        self,
        config: JobsConfig,
        store: JobStore,
        processor: JobProcessor,
        interpreters: Collection[InterpreterName],
    ) -> None:
        self._config = config
        self._store = store
        self._processor = processor
        self._interpreters = interpreters
        self._being_added: Counter[str] = Counter()

    def require_submitter(self, identity: Identity) -> None:
        """Raise `ForbiddenError` for someone who may not submit jobs at all."""
        require_endpoint(identity.roles, "submit", self._config.endpoint_roles)

    async def submit(self, identity: Identity, request: SubmitRequest) -> Submission:
        """Accept a job durably and have it run.

        Raises `ForbiddenError`, `InvalidFieldsError`, `TooLargeError`, `TooManyPendingError` or
        `ShuttingDownError`; nothing was accepted then.
        """
        require_mode(identity.roles, request.execution_mode, self._config.mode_roles)
        self.require_submitter(identity)
        interpreter = request.interpreter or self._config.default_interpreter
        require_within_limits(
            self._config,
            self._interpreters,
            job_name=request.job_name,
            command=request.command,
            description=request.description,
            interpreter=interpreter,
            timeout_seconds=request.timeout_seconds,
        )
        if self._processor.is_closing:
            raise ShuttingDownError
        submission = Submission(
            job_id=new_job_id(),
            user_id=identity.user_id,
            session_id=identity.session_id,
            job_name=request.job_name,
            command=request.command,
            description=request.description,
            execution_mode=request.execution_mode,
            interpreter=interpreter,
            timeout_seconds=request.timeout_seconds,
            roles=tuple(sorted(identity.roles)),
            submitted_with=identity.submitted_with,
            submitted_at=utc_now(),
        )
        await self._add(submission)
        return submission

    async def list_results(self, identity: Identity, limit: int) -> list[dict[str, Any]]:
        """The caller's own results as they are stored, most recently completed first."""
        require_endpoint(identity.roles, "list_results", self._config.endpoint_roles)
        return await self._store.list_results(identity.user_id, limit)

    async def delete_result(self, identity: Identity, job_id: str) -> None:
        """Delete one of the caller's own results, with its submission.

        Raises `NotFoundError`, `ForbiddenError` for somebody else's, `ConflictError` while the job
        has not ended.
        """
        require_endpoint(identity.roles, "delete_results", self._config.endpoint_roles)
        record = await self._store.get_result(job_id)
        owner = record.get("UserID") if record else self._processor.owner(job_id)
        if owner is None:
            raise NotFoundError(f"There is no result of a job {job_id}.")
        if owner != identity.user_id:
            raise ForbiddenError("This job is not yours. You can delete only your own results.")
        if record is None:
            raise ConflictError("This job has not ended yet; there is no result to delete.")
        await self._store.delete_result(job_id)

    async def _add(self, submission: Submission) -> None:
        user_id = submission.user_id
        waiting = self._processor.pending_count(user_id) + self._being_added[user_id]
        if waiting >= self._config.max_pending_per_user:
            raise TooManyPendingError(
                f"You have {waiting} jobs waiting to run, and no more than "
                f"{self._config.max_pending_per_user} may wait. Try again when some have started."
            )
        self._being_added[user_id] += 1
        try:
            self._processor.enqueue(await self._store.add(submission))
        finally:
            self._being_added[user_id] -= 1
            if not self._being_added[user_id]:
                del self._being_added[user_id]
