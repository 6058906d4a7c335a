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
        self._tracing: JobTracing | None = None
        self._now()

    def _now(self) -> JobTracing | None:
        if self._tracing is None and (_LOADED in sys.modules or _PROVIDER in os.environ):
            # Little is left to load: the host has most of it.
            from .tracing import JobTracing  # noqa: PLC0415 - others need not have what it imports

            self._tracing = JobTracing()
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
