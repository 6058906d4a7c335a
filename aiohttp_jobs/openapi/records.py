"""The shapes of what is shown but nowhere stored: views of jobs, the queue, workers, runs.

Made to describe what ``views`` and the services return; nothing is validated with them at run time.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal

from ..dispatch.live import LiveState
from ..models import ExecutionMode, InterpreterName, JobStatus, RetryPolicy, UtcDatetime
from ..schedule.models import Schedule


def _record_name(field: str) -> str:
    name = to_pascal(field)
    return name[:-2] + "ID" if name.endswith("Id") else name


class _Shown(BaseModel):
    model_config = ConfigDict(alias_generator=_record_name, extra="forbid")


class WaitingJob(_Shown):
    """A job in the queue. `Position` 1 is the next; null while it is not due yet."""

    job_id: str
    job_name: str
    user_id: str
    execution_mode: ExecutionMode | None
    submitted_at: UtcDatetime
    priority: int
    run_at: UtcDatetime | None
    concurrency_key: str | None
    attempt: int
    position: int | None


class JobView(BaseModel):
    """A job in any state. What it has beside the required fields depends on the state.

    One that has ended is shown as its result is, without ``Output``.
    """

    model_config = ConfigDict(alias_generator=_record_name, extra="allow")

    job_id: str
    job_name: str
    user_id: str
    execution_mode: ExecutionMode | str | None
    status: JobStatus | LiveState
    submitted_at: UtcDatetime | None = None
    priority: int = 5
    run_at: UtcDatetime | None = None
    concurrency_key: str | None = None
    attempt: int = 1
    position: int | None = None
    cancelling: bool = False
    date_started: UtcDatetime | None = None
    runtime: float | None = None
    worker: int | None = None
    output_size: int = 0
    command: str = ""
    description: str = ""
    interpreter: InterpreterName | str | None = None
    timeout_seconds: float | None = None
    retry: RetryPolicy | None = None
    success: bool | None = None
    exit_code: int | None = None


class QueueView(BaseModel):
    """The queue in order. Of other users' jobs only the numbers are shown, except to administrators."""

    model_config = ConfigDict(extra="forbid")

    paused: bool
    queued: int
    pending: int
    running: int
    limits: dict[str, int | None]
    jobs: list[WaitingJob]


class RunspaceView(_Shown):
    """A warm worker. Whose job it runs is shown to its owner and to those who may see all jobs."""

    worker: Annotated[int, Field(description="Its process id.")]
    busy: bool
    user_id: str | None
    job_id: str | None
    jobs_served: int
    memory_bytes: int | None
    started_at: UtcDatetime


class ScheduleView(Schedule):
    """A schedule, and when it fires next."""

    next_run_at: UtcDatetime | None


class ScheduledRun(_Shown):
    """A moment to come: in UTC, on the clock of the schedule's time zone, and with jitter."""

    scheduled_for: UtcDatetime
    local: str
    fires_at: UtcDatetime
