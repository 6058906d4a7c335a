"""All that look on at what becomes of jobs, as one: what fails in one of them is no matter of the job's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from ..engine.base import JobObserver
from ..model.job import JobResult, Submission

_logger = logging.getLogger(__name__)


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
                more.update(each.started(submission))
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
    _logger.exception("What became of a job cannot be counted or told")
