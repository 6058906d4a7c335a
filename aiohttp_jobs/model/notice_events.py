"""Which outcome is worth telling to whom: pure decisions."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from .job import JobStatus
from .notice_rules import Rule, Trigger

FAILURES = frozenset({JobStatus.FAILED, JobStatus.TIMED_OUT, JobStatus.INTERRUPTED, JobStatus.REJECTED})
_NEED_PREVIOUS = frozenset({Trigger.FIRST_FAILURE, Trigger.RECOVERY})


class Event(StrEnum):
    """What a notice tells."""

    SUCCESS = "success"
    FAILURE = "failure"
    FIRST_FAILURE = "first_failure"
    RECOVERY = "recovery"
    CANCELLED = "cancelled"


def needs_previous(rules: Iterable[Rule], status: JobStatus) -> bool:
    """Whether the outcome before matters to any of `rules`. Nobody asks it of a cancelled job."""
    if status is JobStatus.CANCELLED:
        return False
    return any(_NEED_PREVIOUS & set(rule.on) for rule in rules)


def event_for(rule: Rule, status: JobStatus, previous: JobStatus | None = None) -> Event | None:
    """What `rule` wants told of a job that ended with `status`; ``None`` when nothing.

    `previous` is how the same user's job of the same name ended before, ``None`` if there was none.
    A job that was cancelled neither fails nor recovers.
    """
    failed, failed_before = status in FAILURES, previous in FAILURES
    if Trigger.FIRST_FAILURE in rule.on and failed and not failed_before:
        return Event.FIRST_FAILURE
    if Trigger.RECOVERY in rule.on and status is JobStatus.SUCCEEDED and failed_before:
        return Event.RECOVERY
    if failed and {Trigger.FAILURE, Trigger.ALWAYS} & set(rule.on):
        return Event.FAILURE
    if Trigger.ALWAYS in rule.on:
        return Event.CANCELLED if status is JobStatus.CANCELLED else Event.SUCCESS
    return None
