"""OpenTelemetry spans of jobs: accepted, waited, run, finished, in the trace that came with the submission.

Needs opentelemetry-api; the host sets up the SDK. Spans contain no command, output, parameter or secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from time import monotonic

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .._version import __version__
from ..model.identity import Identity
from ..model.job import ExecutionMode, JobResult, Submission, utc_now
from ..model.trace import TRACEPARENT, TRACESTATE, TraceContext

_ASK_SECONDS = 0.1
_PROPAGATOR = TraceContextTextMapPropagator()
_NO_TRACE = nullcontext[TraceContext | None](None)


class JobTracing:
    """A `JobObserver` that creates spans, and gives submissions their place in a trace."""

    def __init__(self) -> None:
        self._tracer: Tracer = trace.get_tracer("aiohttp_jobs", __version__)
        self._runs: dict[str, Span] = {}
        self._has_nobody = True
        self._asked_until = 0.0

    def _is_told_nobody(self) -> bool:
        """Whether the host has not set up what becomes of spans, and they would be made for nothing.

        That it has done so shows after a tenth of a second: to ask looks for a variable of the environment.
        """
        if self._has_nobody and (now := monotonic()) >= self._asked_until:
            self._asked_until = now + _ASK_SECONDS
            has_none = isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
            self._has_nobody = has_none and isinstance(self._tracer, trace.ProxyTracer)
        return self._has_nobody

    def accepting(
        self, identity: Identity, mode: ExecutionMode
    ) -> AbstractContextManager[TraceContext | None]:
        """The block accepts a job: a span of its own, which what follows is below.

        Its own parent is the host's current span or, if there is none, the request's trace context.
        """
        if self._is_told_nobody() and trace.get_current_span() is trace.INVALID_SPAN:
            return _NO_TRACE if identity.trace is None else nullcontext(identity.trace)
        return self._accepting(identity, mode)

    @contextmanager
    def _accepting(self, identity: Identity, mode: ExecutionMode) -> Iterator[TraceContext | None]:
        parent = None
        if not trace.get_current_span().get_span_context().is_valid:
            parent = _context_of(identity.trace)
        attributes = {"aiohttp_jobs.mode": str(mode)}
        with self._tracer.start_as_current_span(
            "job accept", parent, kind=SpanKind.PRODUCER, attributes=attributes
        ) as span:
            yield _told(trace.set_span_in_context(span)) or identity.trace

    def accepted(self, submission: Submission) -> None:
        if self._is_told_nobody():  # so there is no span of ours
            return
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes(_attributes(submission))

    def started(self, submission: Submission) -> Mapping[str, str]:
        if submission.traceparent is None and self._is_told_nobody():
            return {}
        context, now = _context_of(_trace_of(submission)), utc_now()
        due = max(submission.run_at or submission.submitted_at, submission.submitted_at)
        attributes = _attributes(submission)
        wait = self._tracer.start_span(
            "job wait", context, attributes=attributes, start_time=_time(min(due, now))
        )
        wait.end(_time(now))
        run = self._tracer.start_span(
            "job run", context, kind=SpanKind.CONSUMER, attributes=attributes, start_time=_time(now)
        )
        if (before := self._runs.pop(submission.job_id, None)) is not None:
            before.end(_time(now))  # the disk did not let it start
        self._runs[submission.job_id] = run
        within = trace.set_span_in_context(run, context)
        # In the task of this job alone: what MainLoop runs there is below the span.
        contexts.attach(within)
        told = _told(within)
        return {} if told is None else variables(told)

    def ended(self, submission: Submission, result: JobResult, *, again: bool) -> None:
        if self._is_told_nobody():
            return
        context = _context_of(_trace_of(submission))
        run = self._runs.pop(submission.job_id, None)
        if run is None:  # it never ran, or its process died
            run = self._tracer.start_span(
                "job run", context, kind=SpanKind.CONSUMER, attributes=_attributes(submission),
                start_time=_time(result.date_started),
            )  # fmt: skip
        run.set_attribute("aiohttp_jobs.status", result.status.value)
        if result.exit_code is not None:
            run.set_attribute("aiohttp_jobs.exit_code", result.exit_code)
        run.set_status(
            Status(StatusCode.OK) if result.success else Status(StatusCode.ERROR, result.status.value)
        )
        run.end(_time(result.date_completed))
        attributes = {**_attributes(submission), "aiohttp_jobs.again": again}
        finish = self._tracer.start_span(
            "job finish", context, attributes=attributes, start_time=_time(result.date_completed)
        )
        finish.end()


def variables(told: TraceContext) -> dict[str, str]:
    """The environment variables that pass the trace on to a command."""
    found = {TRACEPARENT.upper(): told.parent}
    return found if told.state is None else {**found, TRACESTATE.upper(): told.state}


def _attributes(submission: Submission) -> dict[str, str | int]:
    return {
        "aiohttp_jobs.job_id": submission.job_id,
        "aiohttp_jobs.job_name": submission.job_name,
        "aiohttp_jobs.mode": str(submission.execution_mode),
        "aiohttp_jobs.attempt": submission.attempt,
        "enduser.id": submission.user_id,
    }


def _trace_of(submission: Submission) -> TraceContext | None:
    return (
        None
        if submission.traceparent is None
        else TraceContext(submission.traceparent, submission.tracestate)
    )


def _context_of(told: TraceContext | None) -> Context:
    """An empty context, or one that is below what was `told`."""
    if told is None:
        return Context()
    carrier = (
        {TRACEPARENT: told.parent}
        if told.state is None
        else {TRACEPARENT: told.parent, TRACESTATE: told.state}
    )
    return _PROPAGATOR.extract(carrier, Context())


def _told(context: Context) -> TraceContext | None:
    """What others are told of their place below the current span of `context`."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context)
    parent = carrier.get(TRACEPARENT)
    return None if parent is None else TraceContext.of([parent], [carrier.get(TRACESTATE, "")])


def _time(moment: datetime) -> int:
    """In nanoseconds since 1970, as OpenTelemetry counts."""
    return int(moment.timestamp() * 1e6) * 1000
