"""Jobs submitted by the host's own code: `submit`, and `JobHandle` to await or cancel them.

The rights of such jobs are in ``services.code_jobs``.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from aiohttp import web

from ..errors import ConfigurationError, JobFailedError
from ..functions.registry import BoundFunction
from ..http.app_keys import CODE_JOBS, MOUNTED
from ..model.functions import HOST_USER, FunctionRunRequest
from ..model.job import ExecutionMode, JobStatus, RetryPolicy
from ..model.notice_rules import NotifyRules
from ..services.code_jobs import CodeJobs

_AS_REGISTERED = FunctionRunRequest()
_NOTHING = (None,) * 8
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class JobHandle(Generic[R_co]):
    """A submitted job. Awaiting it returns the function's return value, as JSON has it.

    Raises `JobFailedError` when the job did not succeed, and `ShuttingDownError` when this process stops
    first. It may be awaited several times, or dropped: the job goes on.
    """

    def __init__(self, service: CodeJobs, job_id: str, user: str) -> None:
        self._service = service
        self._user = user
        self.id = job_id

    def __repr__(self) -> str:
        return f"<job {self.id} of {self._user}>"

    def __await__(self) -> Generator[Any, None, R_co]:
        return self._value().__await__()

    async def result(self) -> dict[str, Any]:
        """Wait for the job to end, however it ends, and return its whole result, in the specification's
        names.

        Raises `NotFoundError` when the result is deleted first, and `ShuttingDownError`.
        """
        return await self._service.result_of(self.id)

    async def cancel(self) -> None:
        """Stop the job, or discard it if it waits. Does nothing when it has ended."""
        await self._service.cancel(self.id, self._user)

    async def _value(self) -> R_co:
        record = await self.result()
        if record["Status"] != JobStatus.SUCCEEDED:
            raise JobFailedError(record)
        return cast("R_co", record.get("ReturnValue"))


async def submit(
    app: web.Application,
    function: BoundFunction[R],
    *,
    user: str = HOST_USER,
    mode: ExecutionMode | str | None = None,
    job_name: str | None = None,
    description: str = "",
    priority: int | None = None,
    run_at: datetime | None = None,
    delay: float | None = None,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    notify: NotifyRules | None = None,
) -> JobHandle[R]:
    """Durably submit a job of ``function.bind(…)`` to the plugin that is mounted in `app`.

    The host's own code needs no role. The job belongs to `user`, who sees it like their other jobs, and
    counts towards their limits. `delay` and `timeout` are in seconds, `run_at` must be timezone-aware; what
    is left out comes from the function's registration.

    Raises `ConfigurationError` when the plugin has not started or does not know this function, ``ValueError``
    for bad arguments, and whatever else submitting may raise.
    """
    service = _service(app, function)
    given = (mode, job_name, priority, run_at, delay, timeout, retry, notify)
    request = _AS_REGISTERED if given == _NOTHING and not description else _asked(description, *given)
    submission = await service.submit(user, function, request)
    return JobHandle(service, submission.job_id, user)


def _asked(
    description: str,
    mode: ExecutionMode | str | None,
    job_name: str | None,
    priority: int | None,
    run_at: datetime | None,
    delay: float | None,
    timeout: float | None,
    retry: RetryPolicy | None,
    notify: NotifyRules | None,
) -> FunctionRunRequest:
    """What is not given is left out: it is then the function's to say."""
    given: dict[str, Any] = {
        "execution_mode": mode,
        "job_name": job_name,
        "priority": priority,
        "run_at": run_at,
        "delay_seconds": None if delay is None else float(delay),
        "timeout_seconds": None if timeout is None else float(timeout),
        "retry": retry,
        "notify": notify,
        "description": description or None,
    }
    return FunctionRunRequest(**{name: value for name, value in given.items() if value is not None})


def _service(app: web.Application, function: BoundFunction[Any]) -> CodeJobs:
    own = app.get(CODE_JOBS)
    services = [own] if own is not None else [each[CODE_JOBS] for each in app.get(MOUNTED, {}).values()]
    if not services:
        raise ConfigurationError(
            "No plugin is mounted in this application. Give submit the one that aiohttp_jobs.setup got, or "
            "what create_jobs_app returned."
        )
    for service in services:
        if service.has(function.function):
            return service
    name = function.function.name
    raise ConfigurationError(
        f"The plugin does not know the function {name}: give its Functions to aiohttp_jobs.setup."
    )
