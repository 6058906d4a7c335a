"""Which notices an outcome causes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from .job import JobStatus
from .notice_rules import Rule, Trigger

FAILURES = frozenset({JobStatus.FAILED, JobStatus.TIMED_OUT, JobStatus.INTERRUPTED, JobStatus.REJECTED})
_NEED_PREVIOUS = frozenset({Trigger.FIRST_FAILURE, Trigger.RECOVERY})


class Event(StrEnum):
    """The event that a notice reports."""

    SUCCESS = "success"
    FAILURE = "failure"
    FIRST_FAILURE = "first_failure"
    RECOVERY = "recovery"
    CANCELLED = "cancelled"


def needs_previous(rules: Iterable[Rule], status: JobStatus) -> bool:
    """Whether any of `rules` depends on the previous outcome. A cancelled job never does."""
    if status is JobStatus.CANCELLED:
        return False
    return any(_NEED_PREVIOUS & set(rule.on) for rule in rules)


def event_for(rule: Rule, status: JobStatus, previous: JobStatus | None = None) -> Event | None:
    """The event to report to `rule` for a job that ended with `status`; ``None`` for none.

    `previous` is the status of the user's previous job of the same name, ``None`` if there was none. A
    cancelled job neither fails nor recovers.
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
