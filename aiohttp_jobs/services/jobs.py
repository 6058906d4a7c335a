"""JobService: submits, lists, follows and cancels jobs, with the caller's rights.

The engine stores and runs jobs; ``streams.job`` follows them, ``serializers`` shows them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Protocol

from ..access.fair_turns import FairTurns
from ..access.limits import LimitPolicy, StorageLimits
from ..access.policy import AccessPolicy
from ..config import JobsConfig
from ..engine.base import (
    FoundJob,
    JobHistory,
    JobOutput,
    JobQuery,
    JobQueue,
    MostWaiting,
    OutputStore,
    cancelled_by,
)
from ..errors import (
    ConflictError,
    ShuttingDownError,
)
from ..model.functions import FunctionOrigin
from ..model.identity import Identity
from ..model.job import (
    DEFAULT_PRIORITY,
    ExecutionMode,
    JobPhase,
    Submission,
    SubmitRequest,
    TemplateOrigin,
    new_job_id,
    utc_now,
)
from ..model.trace import TraceContext
from .notices import NoticeService
from .streams.job import JobStream, StreamEvent
from .streams.job_list import JobFeed, JobListChange
from .streams.lookup import JobLookup
from .streams.serializers import details, ended_list_view, ended_view, job_view

MAX_WATCH_SECONDS = 600.0
"""After that long a watcher of the list has to connect again, and its rights are looked at again."""


_LISTED = (JobPhase.RUNNING, JobPhase.QUEUED, JobPhase.PENDING)


class Tracing(Protocol):
    """Creates the span in which a job is accepted."""

    def accepting(
        self, identity: Identity, mode: ExecutionMode
    ) -> AbstractContextManager[TraceContext | None]:
        """A span for accepting a job of `identity`; yields its place in the trace."""
        ...


class JobService:
    """What a user can do with jobs. Every method takes the caller's `Identity`."""

    def __init__(
        self,
        config: JobsConfig,
        policy: AccessPolicy,
        limits: LimitPolicy,
        history: JobHistory,
        queue: JobQueue,
        lookup: JobLookup,
        outputs: OutputStore,
        feed: JobFeed,
        storage: StorageLimits,
        turns: FairTurns,
        notices: NoticeService,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._config = config
        self._policy = policy
        self._limits = limits
        self._history = history
        self._queue = queue
        self._outputs = outputs
        self._lookup = lookup
        self._feed = feed
        self._storage = storage
        self._turns = turns
        self._notices = notices
        self._most_waiting = MostWaiting(config.max_pending_per_user, config.max_pending_bytes_per_user)

    # --- submitting

    async def submit(
        self,
        identity: Identity,
        request: SubmitRequest,
        job_id: str | None = None,
        *,
        schedule_id: str | None = None,
    ) -> Submission:
        """Submit a job; it is durable when this returns.

        `schedule_id` is the schedule that submits it, if any. Raises `ForbiddenError`, `InvalidFieldsError`,
        `TooLargeError`, `TooManyPendingError`, `LimitReachedError`, `TooMuchKeptError`,
        `InsufficientStorageError` or `ShuttingDownError`; nothing was accepted then.
        """
        mode, key, priority = request.execution_mode, request.concurrency_key, request.priority
        self._policy.require_run(identity.roles, mode, key, priority)
        return await self._accept(identity, request, job_id or new_job_id(), {"schedule_id": schedule_id})

    def submit_approved(
        self,
        identity: Identity,
        request: SubmitRequest,
        origin: TemplateOrigin | FunctionOrigin,
        job_id: str,
    ) -> Coroutine[Any, Any, Submission]:
        """Submit a job of a template or a function that `identity` may run, whatever their other rights.

        The caller must have checked that. `request` comes from the template or the function.
        """
        return self._accept(identity, request, job_id, origin)

    async def _accept(
        self, identity: Identity, request: SubmitRequest, job_id: str, origin: Mapping[str, Any]
    ) -> Submission:
        """`origin` are fields of the submission that `request` does not have."""
        self._limits.require_within(request, request.job_name, request.notify)
        interpreter = self._limits.interpreter_of(request)
        if self._queue.is_closing:
            raise ShuttingDownError
        now = utc_now()
        run_at = request.run_at
        if request.delay_seconds is not None:
            run_at = now + timedelta(seconds=request.delay_seconds)
        with self._trace_of(identity, request.execution_mode) as trace:
            # Not validated a second time: the request was, and the rest is the host's own.
            submission = Submission.model_construct(
                job_id=job_id,
                user_id=identity.user_id,
                session_id=identity.session_id,
                job_name=request.job_name,
                command=request.command,
                description=request.description,
                execution_mode=request.execution_mode,
                interpreter=interpreter,
                timeout_seconds=request.timeout_seconds,
                priority=DEFAULT_PRIORITY if request.priority is None else request.priority,
                concurrency_key=request.concurrency_key,
                labels=request.labels,
                run_at=run_at,
                retry=request.retry,
                notify=request.notify,
                roles=tuple(sorted(identity.roles)),
                submitted_with=identity.submitted_with,
                submitted_at=now,
                traceparent=trace.parent if trace else None,
                tracestate=trace.state if trace else None,
                **origin,
            )
            await self._storage.require_room(submission.user_id)
            if submission.notify:
                await self._notices.require_room(submission.user_id)
            # A schedule's or trigger's jobs have the same id whoever submits them: they may be known already.
            is_new = submission.schedule_id is None and submission.trigger_id is None
            await self._queue.submit(submission, is_new=is_new, most_waiting=self._most_waiting)
        return submission

    def _trace_of(
        self, identity: Identity, mode: ExecutionMode
    ) -> AbstractContextManager[TraceContext | None]:
        """The block accepts a job: where that is in a trace."""
        if self._tracing is None:
            return nullcontext(identity.trace)
        return self._tracing.accepting(identity, mode)

    # --- looking

    async def list_jobs(
        self, identity: Identity, states: Collection[str], *, everyone: bool, limit: int, id_prefix: str = ""
    ) -> list[dict[str, Any]]:
        """Running, queued, pending and ended jobs, in this order; `states` are lower-case.

        `id_prefix` selects jobs by the beginning of their ids, in lower case. `everyone` includes other
        users' jobs; raises `ForbiddenError` unless the caller may see them.
        """
        self._policy.require(identity.roles, "list_jobs")
        if everyone:
            self._policy.require(identity.roles, "see_all_jobs")

        phases = frozenset(phase for phase in _LISTED if phase.lower() in states)
        user_id = None if everyone else identity.user_id
        query = JobQuery(phases, limit, user_id, id_prefix)
        views = [job_view(state) for state in await self._queue.find(query)] if phases else []
        if "done" in states and len(views) < limit:
            async with self._turns.turn(identity.user_id):
                records = await self._history.list_results(user_id, limit - len(views), id_prefix)
            ended = [ended_list_view(record) for record in records]
            # A job may have ended since the others were looked for.
            done = {str(view["JobID"]): view for view in ended if str(view["JobID"]).startswith(id_prefix)}
            views = [view for view in views if view["JobID"] not in done] + list(done.values())
        return views

    def watch_jobs(self, identity: Identity, *, everyone: bool) -> AsyncGenerator[JobListChange, None]:
        """The changes of what `list_jobs` lists, from now on. Raises what that raises, at once."""
        self._policy.require(identity.roles, "list_jobs")
        if everyone:
            self._policy.require(identity.roles, "see_all_jobs")
        return self._feed.watch(
            lambda user_id: everyone or user_id == identity.user_id,
            self._config.heartbeat_interval,
            MAX_WATCH_SECONDS,
        )

    async def get_job(self, identity: Identity, job_id: str) -> dict[str, Any]:
        """One job in any state. Raises `NotFoundError` or `ForbiddenError`."""
        found = await self._find(identity, job_id)
        if found.record is not None:
            return ended_view(found.record)
        submission = await self._lookup.submission(found)
        return job_view(found.known) | (details(submission) if submission else {})

    async def submission(self, identity: Identity, job_id: str) -> Submission:
        """The submission of a job that the caller may see.

        Raises `NotFoundError`, `ForbiddenError`, or `ConflictError` when it is no longer stored.
        """
        for _ in range(2):  # it may be on its way from one place to another
            submission = await self._lookup.submission(await self._find(identity, job_id))
            # Of a file that is not valid the store makes up a submission, under another id.
            if submission is not None and submission.job_id == job_id:
                return submission
        raise ConflictError("What was submitted as this job is not kept any more, or was not valid.")

    async def attempts(self, identity: Identity, job_id: str) -> list[dict[str, Any]]:
        """The results of a job's attempts so far, first to last."""
        found = await self._find(identity, job_id)
        earlier = await self._lookup.earlier_attempts(found)
        return earlier if found.record is None else [*earlier, found.record]

    async def follow(
        self, identity: Identity, job_id: str, start: tuple[int, int]
    ) -> AsyncIterator[StreamEvent]:
        """The events of a job from `start` (attempt, offset) on.

        Needs the right to read its result. Raises before the first event.
        """
        await self._find(identity, job_id)
        stream = JobStream(self._lookup, self._outputs, job_id, start)
        return stream.events(self._config.heartbeat_interval, lambda: self._queue.is_closing)

    def require_reader(self, identity: Identity) -> None:
        """Raise `ForbiddenError` for callers who may read no results, not even their own."""
        self._policy.require(identity.roles, "list_results")

    async def result_within(
        self, identity: Identity, submission: Submission, seconds: float
    ) -> dict[str, Any] | None:
        """Wait for the result of a job that `identity` has just submitted; ``None`` if it does not end in
        time.

        Does not wait for a job that is not due yet, or while the server stops. Needs the right to read
        results.
        """
        self.require_reader(identity)
        if submission.run_at is not None and submission.run_at > utc_now():
            return None
        return await self._queue.end_of(submission.job_id, seconds)

    async def output(self, identity: Identity, job_id: str) -> JobOutput:
        """The output of a job, to be read from any offset. Raises `NotFoundError` or `ForbiddenError`."""
        found = await self._find(identity, job_id)
        if found.record is not None:
            return self._outputs.kept(found.record)
        return await self._outputs.live(found.known)

    # --- stopping

    async def cancel(self, identity: Identity, job_id: str) -> str:
        """Cancel a job; return its state. Can be repeated.

        Raises `NotFoundError`, `ForbiddenError`, or `ConflictError` when it has ended.
        """
        self._policy.require(identity.roles, "cancel_jobs")
        found = await self._find(identity, job_id, "cancel_all_jobs")
        if found.record is not None:
            raise ConflictError(f"The job has ended already ({found.record.get('Status')}).")
        await self._queue.cancel(job_id, cancelled_by(identity.user_id))
        return "Cancelling"

    async def _find(self, identity: Identity, job_id: str, otherwise: str = "see_all_jobs") -> FoundJob:
        """The job, if it is the caller's own or the caller has the right `otherwise`."""
        found = await self._lookup.find(job_id)
        self._policy.require_own_or(otherwise, identity, found.owner, "job")
        return found
