"""What ``$PSWebServer.Runspaces`` shows of running jobs."""

from __future__ import annotations

from typing import Any

from ...model.job import format_utc, utc_now
from ..base import Execution


def running_job(execution: Execution) -> dict[str, Any]:
    """The entry of a job that starts now."""
    return {
        "JobID": execution.job_id,
        "UserID": execution.user_id,
        "JobName": "" if execution.submission is None else execution.submission.job_name,
        "StartedAt": format_utc(utc_now()),
    }
