"""Converts jobs to JSON records with the specification's field names. Pure."""

from __future__ import annotations

from typing import Any

from ...engine.base import JobState
from ...model.job import LONG_FIELDS, Submission, format_utc


def job_view(state: JobState) -> dict[str, Any]:
    """A job that waits or runs, in whichever process."""
    view = {
        **waiting_view(state),
        "Status": state.phase.value,
        "Cancelling": state.is_cancelling,
        "DateStarted": format_utc(state.started_at) if state.started_at else None,
        "Runtime": round(state.runtime, 3) if state.runtime is not None else None,
        "Worker": state.worker,
        "OutputSize": state.output_size,
    }
    if state.progress is not None:
        view["Progress"] = {"Share": state.progress.share, "Text": state.progress.text}
    if state.waiting_for is not None:
        view["WaitingFor"] = state.waiting_for
    return view


def waiting_view(state: JobState) -> dict[str, Any]:
    """A waiting job, as the queue lists it."""
    job = state.job
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
        "Position": state.position,
    }


def details(submission: Submission) -> dict[str, Any]:
    """The fields that the view of a single job adds to those in a list."""
    return {
        "Command": submission.command,
        "Description": submission.description,
        "Interpreter": submission.interpreter,
        "TimeoutSeconds": submission.timeout_seconds,
        "Labels": list(submission.labels),
        "ScheduleID": submission.schedule_id,
        "TriggerID": submission.trigger_id,
        "Retry": submission.retry.model_dump(mode="json", by_alias=True) if submission.retry else None,
        "Notify": [rule.model_dump(mode="json", by_alias=True) for rule in submission.notify],
        "Traceparent": submission.traceparent,
        "TemplateID": submission.template_id,
        "TemplateValues": submission.template_values,
        "Function": submission.function,
        "FunctionValues": submission.function_values,
    }


def ended_feed_view(record: dict[str, Any]) -> dict[str, Any]:
    """An ended job for the feed of the job list, without fields that may be long."""
    long = {"Command", "Description"}
    return {name: value for name, value in ended_list_view(record).items() if name not in long}


def ended_list_view(record: dict[str, Any]) -> dict[str, Any]:
    """An ended job for a list."""
    return {name: value for name, value in record.items() if name not in LONG_FIELDS}


def ended_view(record: dict[str, Any]) -> dict[str, Any]:
    """An ended job: its result without the output, which has its own address."""
    return {name: value for name, value in record.items() if name != "Output"}
