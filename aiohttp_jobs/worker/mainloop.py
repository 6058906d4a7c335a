"""The MainLoop mode: Python on the event loop's own thread, with the host application in scope.

Shells run as a process of their own; that they hold up the job loop is dispatch's doing.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, TextIO

from ..model.job import InterpreterName
from .base import Execution, Executor, Outcome
from .child import pycode
from .host_state import HostState
from .output.log import OutputLog
from .watchdog import BlockedTooLongError, Watchdog, cut_own_frames

_UNWRITTEN_BYTES = 1 << 20
_CANCEL_ATTEMPTS = 3
_logger = logging.getLogger(__name__)


class MainLoopExecutor:
    """Runs Python in this process, and hands other interpreters to `processes`.

    `host` gives the application that is in scope as ``app``; `limit` is how many seconds the code
    may block the loop at a stretch.
    """

    def __init__(self, processes: Executor, host: Callable[[], Any], limit: float) -> None:
        self._processes = processes
        self._host = host
        self._limit = limit

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def run(self, execution: Execution) -> Outcome:
        if execution.interpreter is not InterpreterName.PYTHON:
            return await self._processes.run(execution)
        execution.on_start(os.getpid())
        abandoned = asyncio.Event()
        task = asyncio.create_task(self._run_python(execution, abandoned))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            for attempt in range(_CANCEL_ATTEMPTS):
                if not task.done():
                    if attempt == _CANCEL_ATTEMPTS - 1:
                        abandoned.set()
                    task.cancel()
                    await asyncio.wait([task], timeout=self._limit + 0.5)
            if not task.done():
                _logger.error("Job %s refuses to be cancelled and goes on", execution.job_id)
            raise

    async def _run_python(self, execution: Execution, abandoned: asyncio.Event) -> Outcome:
        filename = f"{pycode.FILENAME[:-1]} {execution.job_id}>"
        watchdog = Watchdog(self._limit, f"Job {execution.job_id}")
        state = HostState(asyncio.get_running_loop())
        pycode.remember_source(execution.command, filename)
        try:
            with _captured_streams(execution.log), watchdog.running():
                try:
                    return await self._outcome(execution, filename, watchdog, state, abandoned)
                finally:
                    state.put_back()
        finally:
            pycode.forget_source(filename)

    async def _outcome(
        self,
        execution: Execution,
        filename: str,
        watchdog: Watchdog,
        state: HostState,
        abandoned: asyncio.Event,
    ) -> Outcome:
        namespace = pycode.new_namespace(**{**execution.parameters.values, "app": self._host()})
        try:
            codes = watchdog.guard(lambda: pycode.compile_job(execution.command, filename))
            await _Watched(pycode.run_codes(codes, namespace), watchdog, state, abandoned)
        except asyncio.CancelledError:
            raise
        except SystemExit as end:
            return Outcome(pycode.exit_code(end))
        except BlockedTooLongError as error:
            message = f"The job blocked the event loop for more than {self._limit:g} s and was stopped."
            cut_own_frames(error)
            execution.log.append(pycode.describe(error, message).encode("utf-8", "replace"))
            return Outcome(1, timed_out=True)
        except BaseException as error:
            execution.log.append(pycode.describe(error).encode("utf-8", "replace"))
            return Outcome(1)
        return Outcome(0)


class _Watched:
    """Awaits a coroutine with every one of its steps under the watchdog, and what it changes in `state`.

    Once it is `abandoned`, the next exception that is passed on to it ends it, whatever it does about that.
    """

    def __init__(
        self, coroutine: Any, watchdog: Watchdog, state: HostState, abandoned: asyncio.Event
    ) -> None:
        self._coroutine = coroutine
        self._watchdog = watchdog
        self._state = state
        self._abandoned = abandoned

    def __await__(self) -> Generator[Any, Any, None]:
        step = partial(self._coroutine.send, None)
        while True:
            try:
                with self._state.watching():
                    waited_for = self._watchdog.guard(step)
            except StopIteration:
                return
            try:
                value = yield waited_for
            except BaseException as error:  # passed on to the job
                if self._abandoned.is_set():
                    self._end()
                    raise
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, value)

    def _end(self) -> None:
        # RuntimeError: it goes on waiting for something, in spite of being closed. Nobody will wake it.
        with suppress(Exception, BlockedTooLongError), self._state.watching():
            self._watchdog.guard(self._coroutine.close)


class _Sink:
    """Where a job's prints go; nowhere of its own any more once the job has ended."""

    def __init__(self, log: OutputLog) -> None:
        self.log: OutputLog | None = log


_sink: ContextVar[_Sink | None] = ContextVar("aiohttp_jobs_sink", default=None)


class _JobAwareStream(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``: a job's text goes to its log, the host's on."""

    def __init__(self, host_stream: TextIO) -> None:
        self.host_stream = host_stream
        self.users = 0

    def write(self, text: str) -> int:
        sink = _sink.get()
        if sink is None or sink.log is None:
            return self.host_stream.write(text)
        sink.log.append(text.encode("utf-8", "replace"))
        if sink.log.unwritten > _UNWRITTEN_BYTES:
            sink.log.flush()  # the job blocks the loop by its own choice; memory stays bounded
        return len(text)

    def flush(self) -> None:
        self.host_stream.flush()

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host_stream, name)


@contextmanager
def _captured_streams(log: OutputLog) -> Iterator[None]:
    """Send what this task, and those it starts, print to `log`, until the end of the block."""
    sink = _Sink(log)
    token = _sink.set(sink)
    streams = {name: _join(name) for name in ("stdout", "stderr")}
    try:
        yield
    finally:
        sink.log = None
        _sink.reset(token)
        for name, stream in streams.items():
            stream.users -= 1
            if not stream.users and getattr(sys, name) is stream:
                setattr(sys, name, stream.host_stream)


def _join(name: str) -> _JobAwareStream:
    current = getattr(sys, name)
    stream = current if isinstance(current, _JobAwareStream) else _JobAwareStream(current)
    stream.users += 1
    setattr(sys, name, stream)
    return stream
