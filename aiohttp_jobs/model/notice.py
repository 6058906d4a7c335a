"""Notice: one message to one channel about one job, with everything needed to send it. Does no I/O."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from .job import JobResult, UtcDatetime, utc_now
from .notice_events import Event
from .notice_rules import EmailRule, NotifyRule, Rule
from .record import KeptRecord
from .terminal import tail_as_seen

TAIL_CHARACTERS = 2000
_NAMESPACE = uuid.UUID("7d0a4a3e-6f0e-4c56-9a39-6a53b6d1f0c1")
_PRIVATE = frozenset({"Rule", "Remaining", "Job", "SubmittedWith", "Traceparent", "Tracestate"})
_TOLD = (
    "JobID", "JobName", "UserID", "Description", "ExecutionMode", "Interpreter", "Status", "Success",
    "ExitCode", "SubmittedAt", "DateStarted", "DateCompleted", "Runtime", "Attempt", "CancelledBy",
    "OutputSize", "ScheduleID", "TemplateID",
)  # fmt: skip

_TOLD_OF_A_FUNCTION = ("Command", "Function", "FunctionValues", "ReturnValue")
"""Secrets are in none of them. A command that somebody wrote is not told, as it may have some."""


class NoticeState(StrEnum):
    """The state of a notice. `PREPARED`: its job's result is not stored yet."""

    PREPARED = "prepared"
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


SHOWN_STATES = (NoticeState.PENDING, NoticeState.SENT, NoticeState.FAILED)


class Notice(KeptRecord):
    """A notice as it is stored in ``Notices/<NoticeID>.json``.

    ``Remaining`` are the recipients that have not got it yet. ``Job`` is its content: fields of the job's
    result, and ``OutputTail``, the last 2,000 characters of its output as a terminal shows it; for a function
    also the call and its return value.
    """

    notice_id: Annotated[str, AfterValidator(lambda text: str(uuid.UUID(text)))]
    job_id: str
    job_name: str
    user_id: str
    submitted_with: Annotated[str, Field(repr=False)] = ""
    channel: str
    target: str
    event: Event
    state: NoticeState
    attempts: int = 0
    last_error: str | None = None
    created_at: UtcDatetime
    next_attempt_at: UtcDatetime | None = None
    sent_at: UtcDatetime | None = None
    rule: Annotated[NotifyRule, Field(repr=False)]
    remaining: Annotated[tuple[str, ...], Field(repr=False)] = ()
    job: Annotated[dict[str, Any], Field(repr=False)] = Field(default_factory=dict)
    traceparent: str | None = None
    tracestate: str | None = None

    @property
    def record_id(self) -> str:
        return self.notice_id

    @classmethod
    def about(
        cls,
        result: JobResult,
        index: int,
        rule: Rule,
        event: Event,
        submitted_with: str = "",
    ) -> Self:
        """A prepared notice for rule number `index` of a job with this `result`."""
        now = utc_now()
        return cls(
            notice_id=notice_id(result.job_id, result.attempt, index),
            job_id=result.job_id,
            job_name=result.job_name,
            user_id=result.user_id,
            submitted_with=submitted_with,
            channel=rule.channel,
            target=rule.target,
            event=event,
            state=NoticeState.PREPARED,
            created_at=now,
            next_attempt_at=now,
            rule=rule,
            remaining=rule.to if isinstance(rule, EmailRule) else (),
            job=_told(result),
            traceparent=result.traceparent,
            tracestate=result.tracestate,
        )

    def view(self) -> dict[str, Any]:
        """The notice as the API shows it."""
        return {name: value for name, value in self.to_record().items() if name not in _PRIVATE}

    def without_job(self) -> Self:
        """A copy without the job's data, to be cached in memory."""
        return self.model_copy(update={"job": {}})

    def fits(self, result: dict[str, Any]) -> bool:
        """Whether it is about the stored `result`, and not about one that was never stored."""
        return all(self.job.get(name) == result.get(name) for name in ("Attempt", "Status"))


def notice_id(job_id: str, attempt: int, index: int) -> str:
    """The id of a notice; the same for the same job, attempt and rule, however often it is prepared."""
    return str(uuid.uuid5(_NAMESPACE, f"{job_id}:{attempt}:{index}"))


def _told(result: JobResult) -> dict[str, Any]:
    record = result.model_copy(update={"output": ""}).to_record()
    names = _TOLD if result.function is None else (*_TOLD, *_TOLD_OF_A_FUNCTION)
    return {
        **{name: record[name] for name in names if name in record},
        "OutputTail": tail_as_seen(result.output, TAIL_CHARACTERS),
    }
