"""Leaves spans alone until the host has loaded OpenTelemetry: before, nobody could be told of them.

The spans themselves are in ``tracing``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ..model.identity import Identity
from ..model.job import ExecutionMode, JobResult, Submission
from ..model.trace import TraceContext

if TYPE_CHECKING:
    from .tracing import JobTracing

_LOADED = "opentelemetry.trace"
_PROVIDER = "OTEL_PYTHON_TRACER_PROVIDER"
"""A variable that has a provider without the host's code: https://opentelemetry.io/docs/languages/python/"""


class TracingWhenUsed:
    """A `JobObserver` that passes on to a `JobTracing` once the host uses OpenTelemetry.

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
            return nullcontext(identity.trace)
        return tracing.accepting(identity, mode)

    def accepted(self, submission: Submission) -> None:
        if (tracing := self._now()) is not None:
            tracing.accepted(submission)

    def started(self, submission: Submission) -> Mapping[str, str]:
        return {} if (tracing := self._now()) is None else tracing.started(submission)

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        if (tracing := self._now()) is not None:
            tracing.ended(submission, result, again=again)


def _loaded() -> JobTracing:
    # Little is left to load: the host has most of it.
    from .tracing import JobTracing  # noqa: PLC0415 - others need not have what it imports

    return JobTracing()
