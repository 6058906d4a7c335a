"""Reports a running function's progress, throttled, and writes its log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ...model.progress import Progress, progress_sequence

LOG_NAME = "aiohttp_jobs.job"
LOG_FORMAT = logging.Formatter("[%(levelname)s] %(message)s")
_SECONDS = 0.1


class Timer(Protocol):
    """A scheduled call that can be cancelled."""

    def cancel(self) -> None: ...


class ProgressTeller:
    """Prints a job's progress with `write`, at most ten times a second, and always the last one.

    `later` schedules a call after some seconds, on any thread. Thread-safe.
    """

    def __init__(
        self, write: Callable[[str], None], later: Callable[[float, Callable[[], None]], Timer]
    ) -> None:
        self._write = write
        self._later = later
        self._lock = threading.Lock()
        self._waiting: Progress | None = None
        self._next = 0.0
        self._told = 0
        self._timer: Timer | None = None
        self._has_ended = False

    def report(self, share: float | None, text: str) -> None:
        """Print the progress now or soon."""
        with self._lock:
            self._waiting = Progress(None if share is None else float(share), str(text))
            wait = self._next - time.monotonic()
            if wait <= 0:
                self._tell()
            elif self._timer is None and not self._has_ended:
                self._timer = self._later(wait, partial(self._tell_late, self._told))

    def end(self) -> None:
        """Print pending progress, and nothing more."""
        with self._lock:
            self._has_ended = True
            if self._timer is not None:
                self._timer.cancel()
            self._tell()

    def _tell_late(self, told: int) -> None:
        with self._lock:
            # A timer that comes late, on a busy machine, may have been forestalled by a report.
            if told == self._told:
                self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, None
        self._timer = None
        if waiting is not None:
            self._next = time.monotonic() + _SECONDS
            self._told += 1
            self._write(progress_sequence(waiting))


def job_log() -> logging.Logger:
    """The logger for a function's ``job.log``: from INFO on, whatever the host's logging configuration is."""
    log = logging.getLogger(LOG_NAME)
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    return log
