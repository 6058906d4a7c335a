"""Builds the JobState of a job that has not ended. Pure."""

from __future__ import annotations

from typing import Any

from ...model.job import ExecutionMode, JobPhase, Submission
from ..base import JobState, JobSummary


def waiting_state(job: JobSummary, phase: JobPhase, position: int | None = None, **known: Any) -> JobState:
    """The state of a waiting job, at `position` in the queue, with further fields in `known`."""
    return _state(job, job.mode, phase, position=position, **known)


def submitted_state(submission: Submission, phase: JobPhase, **known: Any) -> JobState:
    """The state of a job of which only the submission is available, with further fields in `known`."""
    return _state(submission, submission.execution_mode, phase, submission=submission, **known)


def _state(
    job: JobSummary | Submission, mode: ExecutionMode | None, phase: JobPhase, **known: Any
) -> JobState:
    return JobState(
        job_id=job.job_id,
        user_id=job.user_id,
        job_name=job.job_name,
        mode=mode,
        submitted_at=job.submitted_at,
        priority=job.priority,
        run_at=job.run_at,
        concurrency_key=job.concurrency_key,
        attempt=job.attempt,
        phase=phase,
        **known,
    )
