"""Everything that observes the jobs of one process: the log, traces, and counters.

``metrics`` publishes the numbers.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..config import JobsConfig
from ..engine.base import CloseInTime, Engine, JobObserver
from ..model.identity import Identity
from ..model.job import ExecutionMode, JobResult, JobStatus, Submission
from ..model.trace import TraceContext, trace_id_of
from ..system.storage_state import StorageState
from .counting import JobCounts
from .sharing import Sharing

if TYPE_CHECKING:
    from .tracing import JobTracing

_logger = logging.getLogger("aiohttp_jobs.jobs")
_faults = logging.getLogger(__name__)
_ENDED = {JobStatus.CANCELLED: "cancelled", JobStatus.REJECTED: "rejected"}
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_TRACE = nullcontext[TraceContext | None](None)
_LOADED = "opentelemetry.trace"
_PROVIDER = "OTEL_PYTHON_TRACER_PROVIDER"
"""A variable that has a provider without the host's code: https://opentelemetry.io/docs/languages/python/"""


class JobLog:
    """A `JobObserver` that logs a line for each event to ``aiohttp_jobs.jobs``, at level INFO.

    The line has what a program needs to find the job again. Its text names the job's id alone; the rest goes
    with the record as ``extra``, for a formatter such as ``json_logs.JsonFormatter``. No command, output,
    parameter or secret is in either.
    """

    def accepted(self, submission: Submission) -> None:
        if _logger.isEnabledFor(logging.INFO):
            _log("accepted", submission)

    def started(self, submission: Submission) -> Mapping[str, str]:
        if _logger.isEnabledFor(logging.INFO):
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


class TracingWhenUsed:
    """A `JobObserver` that passes on to a `JobTracing` once the host has loaded OpenTelemetry: before, nobody
    could be told of spans.

    To be installed is not enough: it comes with other packages too, and is a third of a megabyte.
    """

    def __init__(self) -> None:
        # Not asked for each job: who sets it later has loaded OpenTelemetry too.
        self._tracing = _loaded() if _PROVIDER in os.environ or _LOADED in sys.modules else None

    def _now(self) -> JobTracing | None:
        if self._tracing is None and _LOADED in sys.modules:
            self._tracing = _loaded()
        return self._tracing

    def accepting(
        self, identity: Identity, mode: ExecutionMode
    ) -> AbstractContextManager[TraceContext | None]:
        """As `JobTracing` does it."""
        if (tracing := self._now()) is None:
            return _NO_TRACE if identity.trace is None else nullcontext(identity.trace)
        return tracing.accepting(identity, mode)

    def accepted(self, submission: Submission) -> None:
        if (tracing := self._now()) is not None:
            tracing.accepted(submission)

    def started(self, submission: Submission) -> Mapping[str, str]:
        return _NOTHING if (tracing := self._now()) is None else tracing.started(submission)

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        if (tracing := self._now()) is not None:
            tracing.ended(submission, result, again=again)


def _loaded() -> JobTracing:
    # Little is left to load: the host has most of it.
    from .tracing import JobTracing  # noqa: PLC0415 - others need not have what it imports

    return JobTracing()


class Instrumentation:
    """The observers that `config` enables. Pass `observer` to the engine's `connect`.

    `present` returns this process's current values, published next to its counters.
    """

    def __init__(
        self,
        config: JobsConfig,
        engine: Engine,
        storage: StorageState,
        present: Callable[[], Mapping[str, float]],
    ) -> None:
        observers: list[JobObserver] = [JobLog()]
        self.tracing = _tracing() if config.tracing_enabled else None
        if self.tracing is not None:
            observers.append(self.tracing)
        self.sharing: Sharing | None = None
        """What all processes have counted, where that is turned on."""
        if config.metrics_enabled:
            counts = JobCounts()
            observers.append(counts)
            self.sharing = Sharing(engine, counts, present, storage)
        self.observer = Observers(observers)

    def open(self, stack: AsyncExitStack, close: CloseInTime) -> None:
        """Publish the counters from now on, until `stack` closes it. The engine must be open."""
        if self.sharing is not None:
            self.sharing.open()
            stack.push_async_callback(close, "Counting", self.sharing.close)


def _tracing() -> TracingWhenUsed | None:
    """What makes spans; ``None`` where OpenTelemetry is not installed."""
    try:
        return TracingWhenUsed() if find_spec("opentelemetry.trace") is not None else None
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "opentelemetry":
            raise
        return None
