"""All that look on at what becomes of jobs, as one: what fails in one of them is no matter of the job's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import ParamSpec

from ..engine.base import JobObserver
from ..model.job import JobResult, Submission

P = ParamSpec("P")
_logger = logging.getLogger(__name__)


class Observers:
    """A `JobObserver` that passes on to each of `observers`."""

    def __init__(self, observers: Sequence[JobObserver]) -> None:
        self._observers = tuple(observers)

    def accepted(self, submission: Submission) -> None:
        for each in self._observers:
            _tell(each.accepted, submission)

    def started(self, submission: Submission) -> None:
        for each in self._observers:
            _tell(each.started, submission)

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        for each in self._observers:
            _tell(each.ended, submission, result, again=again)


def _tell(tell: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        tell(*args, **kwargs)
    except Exception:
        _logger.exception("What became of a job cannot be counted or told")
