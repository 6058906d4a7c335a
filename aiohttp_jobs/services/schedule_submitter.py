"""Submits the jobs of schedules: with their owner's current rights, under the id of the claimed moment."""

from __future__ import annotations

from datetime import datetime

from ..access.current_roles import RightsCheck
from ..engine.base import JobHistory, JobQueue, StopReason
from ..model.job import JobStatus
from ..model.schedule import Schedule, ScheduledFunction
from .code_jobs import CodeJobs
from .functions import FunctionService
from .jobs import JobService

_REPLACED = StopReason(
    JobStatus.CANCELLED, "The job was cancelled because its schedule started the next one.", by="schedule"
)


class ScheduledJobs:
    """The scheduler's `Submitter`."""

    def __init__(
        self,
        service: JobService,
        functions: FunctionService,
        code: CodeJobs,
        rights: RightsCheck,
        history: JobHistory,
        queue: JobQueue,
    ) -> None:
        self._service = service
        self._functions = functions
        self._code = code
        self._rights = rights
        self._history = history
        self._queue = queue

    async def submit(self, schedule: Schedule, job_id: str, scheduled_for: datetime) -> None:
        """Submit the schedule's job.

        Raises `JobsError` when the owner may no longer run it, or limits refuse it.
        """
        job = schedule.job
        if schedule.from_code and isinstance(job, ScheduledFunction):
            await self._code.submit_scheduled(schedule, job, job_id)
            return
        owner = schedule.owner(await self._rights.roles(schedule))
        if isinstance(job, ScheduledFunction):
            await self._functions.run(owner, job.function, job, job_id=job_id, schedule=schedule)
        else:
            await self._service.submit(owner, schedule.submission(), job_id, schedule_id=schedule.schedule_id)

    async def is_known(self, job_id: str) -> bool:
        """Whether the job was ever accepted, even if its result was deleted since."""
        return await self.is_active(job_id) or await self._history.was_used(job_id)

    async def is_active(self, job_id: str) -> bool:
        """Whether the job waits or runs, in any process."""
        return await self._queue.get(job_id) is not None

    async def cancel(self, job_id: str) -> None:
        """Cancel the job. Does nothing when it has ended."""
        await self._queue.cancel(job_id, _REPLACED)
