"""A line in the log for each event of a job, with what a program needs to find it again.

The text names the job's id alone; the rest goes with the record as ``extra``, for a formatter such as
``json_logs.JsonFormatter``. No command, output, parameter or secret is in either.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..model.job import JobResult, JobStatus, Submission
from ..model.trace import trace_id_of

_logger = logging.getLogger("aiohttp_jobs.jobs")
_ENDED = {JobStatus.CANCELLED: "cancelled", JobStatus.REJECTED: "rejected"}
_NOTHING: Mapping[str, str] = MappingProxyType({})


class JobLog:
    """A `JobObserver` that logs to ``aiohttp_jobs.jobs``, at level INFO."""

    def accepted(self, submission: Submission) -> None:
        _log("accepted", submission)

    def started(self, submission: Submission) -> Mapping[str, str]:
        _log("started", submission)
        return _NOTHING

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        event = "retried" if again else _ENDED.get(result.status, "ended")
        _log(
            event, submission, status=result.status.value, exit_code=result.exit_code, runtime=result.runtime
        )


def _log(event: str, submission: Submission, **more: Any) -> None:
    if not _logger.isEnabledFor(logging.INFO):
        return
    told = {
        "event": f"job_{event}",
        "job_id": submission.job_id,
        "job_name": submission.job_name,
        "user_id": submission.user_id,
        "mode": str(submission.execution_mode),
        "attempt": submission.attempt,
        "trace_id": trace_id_of(submission.traceparent),
        **more,
    }
    _logger.info("Job %s %s", submission.job_id, event, extra=told)
