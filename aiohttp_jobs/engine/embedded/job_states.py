"""JobState made of what is known of jobs that wait here, and of what is found of other processes. Pure."""

from __future__ import annotations

from dataclasses import replace

from ...model.job import JobPhase, Submission, utc_now
from ..base import JobState, Located, PendingJob, RunningElsewhere


def waiting_state(job: PendingJob, phase: JobPhase, position: int | None) -> JobState:
    """A job that waits here, at `position` in the queue."""
    return JobState(
        job_id=job.job_id,
        user_id=job.user_id,
        job_name=job.job_name,
        mode=job.mode,
        submitted_at=job.submitted_at,
        priority=job.priority,
        run_at=job.run_at,
        concurrency_key=job.concurrency_key,
        attempt=job.attempt,
        phase=phase,
        position=position,
    )


def _known_by(submission: Submission, phase: JobPhase) -> JobState:
    return JobState(
        job_id=submission.job_id,
        user_id=submission.user_id,
        job_name=submission.job_name,
        mode=submission.execution_mode,
        submitted_at=submission.submitted_at,
        priority=submission.priority,
        run_at=submission.run_at,
        concurrency_key=submission.concurrency_key,
        attempt=submission.attempt,
        phase=phase,
        submission=submission,
    )


def elsewhere(job: RunningElsewhere) -> JobState:
    """A job that another process runs."""
    return replace(
        _known_by(job.submission, JobPhase.RUNNING),
        started_at=job.started_at,
        runtime=max(0.0, (utc_now() - job.started_at).total_seconds()),
        output_size=job.output_size,
        is_cancelling=job.is_cancelling,
    )


def located(located: Located) -> JobState:
    """A job that waits and was not read yet, or whose process died and that is about to be taken over."""
    submission = located.submission
    if located.run_dir is not None:
        return _known_by(submission, JobPhase.RUNNING)
    is_later = submission.run_at is not None and submission.run_at > utc_now()
    return _known_by(submission, JobPhase.PENDING if is_later else JobPhase.QUEUED)
