"""How jobs are shown: plain records in the specification's names, made from what is known. Pure."""

from __future__ import annotations

from typing import Any

from ..engine.base import PendingJob
from ..engine.embedded.active import ActiveJob
from ..model.job import Submission, format_utc


def active_view(active: ActiveJob, position: int | None) -> dict[str, Any]:
    """A job that waits or runs here. `position` is its place in the queue, the first is 1."""
    job, log = active.job, active.log
    return {
        **_waiting(job),
        "Status": active.shown_state.value,
        "Position": position,
        "Cancelling": active.reason is not None,
        "DateStarted": format_utc(active.started_at) if active.started_at else None,
        "Runtime": round(active.runtime, 3) if active.runtime is not None else None,
        "Worker": active.worker,
        "OutputSize": log.size if log else 0,
    }


def queued_view(job: PendingJob, position: int | None) -> dict[str, Any]:
    """A job in the queue, as the queue shows it."""
    return {**_waiting(job), "Position": position}


def submission_view(submission: Submission, status: str) -> dict[str, Any]:
    """A job known only by its submission: it waits, or runs in another process."""
    record = submission.to_record()
    hidden = {"Signature", "Roles", "SubmittedWith", "Status", "TemplateDigest", "SealedValues"}
    hidden.add("ConcurrencyOwner")
    return {name: value for name, value in record.items() if name not in hidden} | {"Status": status}


def details(submission: Submission) -> dict[str, Any]:
    """What one job's own view has beside the list's."""
    return {
        "Command": submission.command,
        "Description": submission.description,
        "Interpreter": submission.interpreter,
        "TimeoutSeconds": submission.timeout_seconds,
        "ScheduleID": submission.schedule_id,
        "Retry": submission.retry.model_dump(mode="json", by_alias=True) if submission.retry else None,
        "Notify": [rule.model_dump(mode="json", by_alias=True) for rule in submission.notify],
        "TemplateID": submission.template_id,
        "TemplateValues": submission.template_values,
    }


def feed_view(active: ActiveJob) -> dict[str, Any]:
    """A job as the feed of the list tells of it: in any state, without what may be long."""
    if active.record is None:
        return active_view(active, None)
    long = {"Command", "Description"}
    return {name: value for name, value in ended_view(active.record).items() if name not in long}


def ended_view(record: dict[str, Any]) -> dict[str, Any]:
    """A job that has ended: its result without the output, which has an address of its own."""
    return {name: value for name, value in record.items() if name != "Output"}


def _waiting(job: PendingJob) -> dict[str, Any]:
    return {
        "JobID": job.job_id,
        "JobName": job.job_name,
        "UserID": job.user_id,
        "ExecutionMode": job.mode.value if job.mode else None,
        "SubmittedAt": format_utc(job.submitted_at),
        "Priority": job.priority,
        "RunAt": format_utc(job.run_at) if job.run_at else None,
        "ConcurrencyKey": job.concurrency_key,
        "Attempt": job.attempt,
    }
