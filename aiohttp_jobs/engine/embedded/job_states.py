"""Builds the JobState of jobs in other processes. Pure."""

from __future__ import annotations

from ...model.job import JobPhase, utc_now
from ..base import JobState
from ..running.states import submitted_state
from .findings import Located, RunningElsewhere


def elsewhere_state(job: RunningElsewhere) -> JobState:
    """The state of a job that another process runs."""
    return submitted_state(
        job.submission,
        JobPhase.RUNNING,
        started_at=job.started_at,
        runtime=max(0.0, (utc_now() - job.started_at).total_seconds()),
        output_size=job.output_size,
        progress=job.progress,
        is_cancelling=job.is_cancelling,
    )


def located_state(located: Located) -> JobState:
    """The state of a waiting job that was not read yet, or of one whose process died and that is about to be
    taken over.
    """
    submission = located.submission
    if located.run_dir is not None:
        return submitted_state(submission, JobPhase.RUNNING)
    is_later = submission.run_at is not None and submission.run_at > utc_now()
    return submitted_state(submission, JobPhase.PENDING if is_later else JobPhase.QUEUED)
