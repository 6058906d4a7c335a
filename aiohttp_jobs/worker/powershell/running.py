"""What ``$PSWebServer.Runspaces`` shows of running jobs."""

from __future__ import annotations

from typing import Any

from ...model.job import format_utc, utc_now
from ..base import Execution, ExpectedJob


def running_job(job: Execution | ExpectedJob) -> dict[str, Any]:
    """The entry of a job that starts now."""
    return {
        "JobID": job.job_id,
        "UserID": job.user_id,
        "JobName": "" if job.submission is None else job.submission.job_name,
        "StartedAt": format_utc(utc_now()),
    }
