"""The MainLoop mode: Python on the event loop's own thread, with the host application in scope.

Shells run in their own process; the dispatcher lets no other job start meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

from ..model.job import InterpreterName
from .base import Execution, Executor, Outcome
from .captured_streams import captured_streams
from .child import pycode
from .host_state import HostState, plain_interrupt_handler
from .watchdog import BlockedTooLongError, Watchdog, Watchdogs, cut_own_frames

_CANCEL_ATTEMPTS = 3
_logger = logging.getLogger(__name__)


class MainLoopExecutor:
    """Runs Python in this process, and passes other interpreters to `processes`.

    `host` gives the application that is in scope as ``app``. What the job would have in its environment in a
    process of its own is in scope as ``environment``, unless a parameter has that name, as ``os.environ`` is
    the server's. `limit` is how many seconds the code may block the loop at a stretch.
    """

    def __init__(
        self, processes: Executor, host: Callable[[], Any], limit: float, watchdogs: Watchdogs
    ) -> None:
        self._processes = processes
        self._watchdogs = watchdogs
        self._host = host
        self._limit = limit

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self._watchdogs.close()

    async def run(self, execution: Execution) -> Outcome:
        if execution.interpreter is not InterpreterName.PYTHON:
            return await self._processes.run(execution)
        execution.on_start(os.getpid())
        abandoned = asyncio.Event()
        return await run_on_loop(
            self._run_python(execution, abandoned), abandoned, execution.job_id, self._limit + 0.5
        )

    async def _run_python(self, execution: Execution, abandoned: asyncio.Event) -> Outcome:
        filename = f"{pycode.FILENAME[:-1]} {execution.job_id}>"
        watchdog = Watchdog(self._limit, f"Job {execution.job_id}", self._watchdogs)
        state = HostState(asyncio.get_running_loop())
        pycode.remember_source(execution.command, filename)
        try:
            with captured_streams(execution.log), plain_interrupt_handler(), watchdog.running():
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
        names = {"environment": dict(execution.environment), **execution.parameters.values}
        namespace = pycode.new_namespace(**{**names, "app": self._host()})
        try:
            codes = watchdog.guard(lambda: pycode.compile_job(execution.command, filename))
            await Watched(pycode.run_codes(codes, namespace), watchdog, state.watching, abandoned)
        except asyncio.CancelledError:
            raise
        except SystemExit as end:
            return Outcome(pycode.exit_code(end))
        except BlockedTooLongError as error:
            cut_own_frames(error)
            execution.log.append(pycode.describe(error, blocked(self._limit)).encode("utf-8", "replace"))
            return Outcome(1, timed_out=True)
        except BaseException as error:
            execution.log.append(pycode.describe(error).encode("utf-8", "replace"))
            return Outcome(1)
        return Outcome(0)


def blocked(limit: float) -> str:
    """The message for a job that blocked the event loop for more than `limit` seconds."""
    return f"The job blocked the event loop for more than {limit:g} s and was stopped."


async def run_on_loop(
    work: Coroutine[Any, Any, Outcome],
    abandoned: asyncio.Event,
    job_id: str,
    patience: float,
    before_cancel: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run `work`, which runs a job, in its own task.

    When cancelled, it is cancelled several times, `patience` seconds apart; the last time it is `abandoned`,
    see `Watched`.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        before_cancel()
        for attempt in range(_CANCEL_ATTEMPTS):
            if not task.done():
                if attempt == _CANCEL_ATTEMPTS - 1:
                    abandoned.set()
                task.cancel()
                await asyncio.wait([task], timeout=patience)
        if not task.done():
            _logger.error("Job %s refuses to be cancelled and goes on", job_id)
        raise


class Watched:
    """Awaits a coroutine with each of its steps under the watchdog, and within `watching`.

    Once it is `abandoned`, the next exception that is passed to it ends it, whatever it does about that.
    """

    def __init__(
        self,
        coroutine: Any,
        watchdog: Watchdog,
        watching: Callable[[], AbstractContextManager[None]],
        abandoned: asyncio.Event,
    ) -> None:
        self._coroutine = coroutine
        self._watchdog = watchdog
        self._watching = watching
        self._abandoned = abandoned

    def __await__(self) -> Generator[Any, Any, Any]:
        step = partial(self._coroutine.send, None)
        while True:
            try:
                with self._watching():
                    waited_for = self._watchdog.guard(step)
            except StopIteration as end:
                return end.value
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
        with suppress(Exception, BlockedTooLongError), self._watching():
            self._watchdog.guard(self._coroutine.close)
