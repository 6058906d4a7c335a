"""Events of jobs: told to all that look on, as one, and a line in the log for each.

The line has what a program needs to find the job again. Its text names the job's id alone; the rest goes
with the record as ``extra``, for a formatter such as ``json_logs.JsonFormatter``. No command, output,
parameter or secret is in either.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..engine.base import JobObserver
from ..model.job import JobResult, JobStatus, Submission
from ..model.trace import trace_id_of

_logger = logging.getLogger("aiohttp_jobs.jobs")
_faults = logging.getLogger(__name__)
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
        if not _logger.isEnabledFor(logging.INFO):
            return
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


class Observers:
    """A `JobObserver` that passes on to each of `observers`."""

    def __init__(self, observers: Sequence[JobObserver]) -> None:
        self._observers = tuple(observers)

    def accepted(self, submission: Submission) -> None:
        for each in self._observers:
            try:
                each.accepted(submission)
            except Exception:
                _complain()

    def started(self, submission: Submission) -> Mapping[str, str]:
        more: dict[str, str] = {}
        for each in self._observers:
            try:
                if told := each.started(submission):
                    more.update(told)
            except Exception:
                _complain()
        return more

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        for each in self._observers:
            try:
                each.ended(submission, result, again=again)
            except Exception:
                _complain()


def _complain() -> None:
    _faults.exception("What became of a job cannot be counted or told")
