"""All that look on at what becomes of jobs, as one: what fails in one of them is no matter of the job's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar

from ..engine.base import JobObserver
from ..model.job import JobResult, Submission

P = ParamSpec("P")
T = TypeVar("T")
_logger = logging.getLogger(__name__)


class Observers:
    """A `JobObserver` that passes on to each of `observers`."""

    def __init__(self, observers: Sequence[JobObserver]) -> None:
        self._observers = tuple(observers)

    def accepted(self, submission: Submission) -> None:
        for each in self._observers:
            _tell(each.accepted, submission)

    def started(self, submission: Submission) -> Mapping[str, str]:
        more: dict[str, str] = {}
        for each in self._observers:
            more.update(_tell(each.started, submission) or {})
        return more

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        for each in self._observers:
            _tell(each.ended, submission, result, again=again)


def _tell(tell: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    try:
        return tell(*args, **kwargs)
    except Exception:
        _logger.exception("What became of a job cannot be counted or told")
        return None
