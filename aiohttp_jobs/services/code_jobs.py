"""CodeJobs: submits, awaits and cancels jobs for the host's own code, which needs no role.

Used by ``assembly.from_code``, and for schedules that the code declares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from ..engine.base import JobHistory, JobQuery, JobQueue, ResultRepository, cancelled_by
from ..errors import ConfigurationError, NotFoundError, ShuttingDownError
from ..functions.registry import BoundFunction, Function, Functions
from ..model.functions import HOST_USER, FunctionRunRequest, HostCode
from ..model.job import JobPhase, Submission
from ..model.schedule import Schedule, ScheduledFunction
from .function_jobs import FunctionJobs

_WAIT_SECONDS = 10.0
"""After that long it is looked whether a job is still there, or its result was deleted."""
_LOOK_SECONDS = 1.0


class CodeJobs:
    """What the host's own code can do with the `functions` of one plugin."""

    def __init__(
        self,
        functions: Functions,
        jobs: FunctionJobs,
        queue: JobQueue,
        history: JobHistory,
        results: ResultRepository,
    ) -> None:
        self._functions = functions
        self._history = history
        self._results = results
        self._jobs = jobs
        self._queue = queue
        self._is_open = False
        self._last = HostCode(HOST_USER)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Accept submissions while the block runs."""
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False

    def has(self, function: Function[..., Any]) -> bool:
        """Whether the function belongs to this plugin."""
        return self._functions.get(function.name) is function

    def submit(
        self, user: str, bound: BoundFunction[Any], run: FunctionRunRequest
    ) -> Coroutine[Any, Any, Submission]:
        """Submit a job as this user. `run` has no values of its own.

        Raises `ConfigurationError` while the plugin is not open, ``ValueError`` for a user id that cannot be
        one, and whatever `JobService.submit` raises.
        """
        if not self._is_open:
            raise ConfigurationError(
                "Jobs can be submitted once the application has started, and until it shuts down: by "
                "handlers, for example, or in on_startup after aiohttp_jobs.setup."
            )
        mode = run.execution_mode or bound.function.options.modes[0]
        code = self._last  # of many jobs submitted at once most are one user's
        if code.user_id != user:
            code = self._last = HostCode(user)
        return self._jobs.submit(code, bound.function, bound.values, run, mode)

    async def submit_scheduled(self, schedule: Schedule, job: ScheduledFunction, job_id: str) -> None:
        """Submit the `job` of a schedule that the code declares.

        Raises `NotFoundError`, and what `submit` raises.
        """
        function = self._functions.get(job.function)
        if function is None:
            raise NotFoundError(f"There is no function {job.function}.")
        code, mode = HostCode(schedule.user_id), job.execution_mode or function.options.modes[0]
        values = await asyncio.to_thread(function.signature.validate, job.values)
        await self._jobs.submit(code, function, values, job, mode, job_id=job_id, schedule=schedule)

    async def result_of(self, job_id: str) -> dict[str, Any]:
        """Wait for a job of the code to end, and return its result.

        Raises `NotFoundError` when the result is deleted first, and `ShuttingDownError` when this process
        stops.
        """
        while True:
            is_over = await self._queue.get(job_id) is None
            record = await self._queue.end_of(job_id, 0.0 if is_over else _WAIT_SECONDS)
            if record is not None:
                return record
            if self._queue.is_closing:
                raise ShuttingDownError
            if is_over:
                raise NotFoundError(f"There is no job {job_id} any more.")

    async def ended(self, most: int = 1000) -> list[dict[str, Any]]:
        """Wait until no job is queued or running, and return the last `most` results. For tests.

        Jobs that are not due yet are not waited for.
        """
        query = JobQuery(frozenset({JobPhase.QUEUED, JobPhase.RUNNING}), limit=1)
        while found := await self._queue.find(query):
            await self._queue.end_of(found[0].job.job_id, _LOOK_SECONDS)
        await self._results.catch_up()
        listed = await self._history.list_results(None, most)
        results = [await self._history.get_result(str(each["JobID"])) for each in reversed(listed)]
        return [result for result in results if result is not None]

    async def cancel(self, job_id: str, user_id: str) -> None:
        """Cancel a job that the code submitted for this user. Does nothing when it has ended."""
        if await self._queue.get(job_id) is not None:
            await self._queue.cancel(job_id, cancelled_by(user_id))
