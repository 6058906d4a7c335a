"""JobState made of what is known of jobs that wait here, and of what is found of other processes. Pure."""

from __future__ import annotations

from dataclasses import replace

from ...model.job import ExecutionMode, JobPhase, Submission, utc_now
from ..base import JobState
from .job_store import Located, PendingJob, RunningElsewhere


def waiting_state(job: PendingJob, phase: JobPhase, position: int | None = None) -> JobState:
    """A job that waits here, at `position` in the queue."""
    return replace(_state(job, job.mode, phase), position=position)


def submitted_state(submission: Submission, phase: JobPhase) -> JobState:
    """A job of which there is nothing but its submission."""
    return replace(_state(submission, submission.execution_mode, phase), submission=submission)


def elsewhere_state(job: RunningElsewhere) -> JobState:
    """A job that another process runs."""
    return replace(
        submitted_state(job.submission, JobPhase.RUNNING),
        started_at=job.started_at,
        runtime=max(0.0, (utc_now() - job.started_at).total_seconds()),
        output_size=job.output_size,
        progress=job.progress,
        is_cancelling=job.is_cancelling,
    )


def located_state(located: Located) -> JobState:
    """A job that waits and was not read yet, or whose process died and that is about to be taken over."""
    submission = located.submission
    if located.run_dir is not None:
        return submitted_state(submission, JobPhase.RUNNING)
    is_later = submission.run_at is not None and submission.run_at > utc_now()
    return submitted_state(submission, JobPhase.PENDING if is_later else JobPhase.QUEUED)


def _state(job: PendingJob | Submission, mode: ExecutionMode | None, phase: JobPhase) -> JobState:
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
    )
