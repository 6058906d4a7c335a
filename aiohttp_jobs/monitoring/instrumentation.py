"""Everything that observes the jobs of one process: the log, traces, and counters.

``metrics`` publishes the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from importlib.util import find_spec

from ..config import JobsConfig
from ..engine.base import CloseInTime, Engine, JobObserver
from ..system.storage_state import StorageState
from .counting import JobCounts
from .events import JobLog, Observers
from .sharing import Sharing
from .tracing_when_used import TracingWhenUsed


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
