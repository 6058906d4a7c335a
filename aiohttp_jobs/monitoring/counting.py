"""Counts a process's jobs: a few additions for each, by outcome and mode, never by name.

``sharing`` adds up all processes; ``metrics`` shows the totals.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from ..model.job import ExecutionMode, JobResult, JobStatus, Submission, utc_now

WAIT_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
RUN_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
LAG_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
ACCEPTED, RETRIED, ENDED, WAIT, RUN, LAG = "accepted", "retried", "ended", "wait", "run", "lag"
SUM = "sum"
"""The part of a histogram that is the sum of all it was told, in seconds."""
BUSY, IDLE, STREAMS = "workers busy", "workers idle", "streams"
"""What each process says of itself."""
Counts = defaultdict[str, float]


def key(*parts: object) -> str:
    """The key of one number: its metric, labels and part."""
    return "|".join(map(str, parts))


class Histogram:
    """A histogram of durations in `counts`; `bounds` are in seconds, the last is infinite."""

    def __init__(self, counts: Counts, bounds: Sequence[float], *name: object) -> None:
        self._counts = counts
        self._bounds = bounds
        self._parts = [key(*name, index) for index in range(len(bounds) + 1)]
        self._sum = key(*name, SUM)

    def observe(self, seconds: float) -> None:
        """Count a duration in seconds. Negative ones, as after a clock was set back, count as zero."""
        seconds = max(0.0, seconds)
        self._counts[self._parts[bisect_left(self._bounds, seconds)]] += 1
        self._counts[self._sum] += seconds


class _Worker(Protocol):
    @property
    def job_id(self) -> str | None: ...


def workers_present(workers: Sequence[_Worker]) -> dict[str, float]:
    """How many of this process's warm `workers` are busy, and how many idle."""
    busy = sum(worker.job_id is not None for worker in workers)
    return {BUSY: busy, IDLE: len(workers) - busy}


class JobCounts:
    """A `JobObserver` that counts. `take` returns the counts and resets them."""

    def __init__(self) -> None:
        self._counts: Counts = defaultdict(float)
        self._wait = {mode: Histogram(self._counts, WAIT_SECONDS, WAIT, mode) for mode in ExecutionMode}
        self._run = {mode: Histogram(self._counts, RUN_SECONDS, RUN, mode) for mode in ExecutionMode}
        self._lag = Histogram(self._counts, LAG_SECONDS, LAG)
        self._ended = {
            (status, mode): key(ENDED, status, mode) for status in JobStatus for mode in ExecutionMode
        }
        self.has_news = False
        """Whether jobs were counted since the last `take`."""

    def accepted(self, submission: Submission) -> None:
        self._counts[key(ACCEPTED, submission.execution_mode)] += 1
        self.has_news = True

    def started(self, submission: Submission) -> Mapping[str, str]:
        due = submission.run_at or submission.submitted_at
        seconds = (utc_now() - max(due, submission.submitted_at)).total_seconds()
        self._wait[submission.execution_mode].observe(seconds)
        self.has_news = True
        return {}

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        mode = submission.execution_mode
        self._run[mode].observe(result.runtime)
        self._counts[key(RETRIED, mode) if again else self._ended[result.status, mode]] += 1
        self.has_news = True

    def lagged(self, seconds: float) -> None:
        """Count a delay of the event loop."""
        self._lag.observe(seconds)

    def take(self) -> dict[str, float]:
        """The counts since the last call."""
        taken = dict(self._counts)
        self._counts.clear()
        self.has_news = False
        return taken
