"""The host's functions in MainLoop mode: coroutine functions on the event loop's own thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from ...errors import InvalidFieldsError
from ...functions.context import JobContext
from ..base import Execution, Outcome
from ..captured_streams import captured_streams
from ..child import pycode
from ..host_state import give_back_log_locks
from ..mainloop import Watched, blocked, run_on_loop
from ..return_values import as_json
from ..watchdog import CALLING, BlockedTooLongError, Watchdog, Watchdogs, cut_own_frames
from .messages import call_of
from .telling import LOG_FORMAT, ProgressTeller, job_log
from .tracebacks import describe


class FunctionMainLoop:
    """Runs coroutine functions in this process. They may block the loop for `limit` seconds at a time.

    `host` returns the application that a function finds as ``job.app``. What a function changes in the
    process stays: it is the host's own code.
    """

    def __init__(self, host: Callable[[], Any], limit: float, watchdogs: Watchdogs) -> None:
        self._host = host
        self._watchdogs = watchdogs
        self._limit = limit

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self._watchdogs.close()

    async def run(self, execution: Execution) -> Outcome:
        execution.on_start(os.getpid())
        abandoned, cancelled = asyncio.Event(), threading.Event()
        work = self._run(execution, abandoned, cancelled)
        try:
            return await run_on_loop(
                work, abandoned, execution.job_id, self._limit + 0.5, before_cancel=cancelled.set
            )
        finally:
            cancelled.set()  # whoever still looks at it is not to go on

    async def _run(
        self, execution: Execution, abandoned: asyncio.Event, cancelled: threading.Event
    ) -> Outcome:
        watchdog = Watchdog(self._limit, f"Job {execution.job_id}", self._watchdogs)
        with captured_streams(execution.log, LOG_FORMAT) as sink:
            teller = ProgressTeller(sink.write, _later(asyncio.get_running_loop()))
            try:
                with watchdog.running():
                    return await self._outcome(execution, watchdog, abandoned, cancelled, teller)
            except asyncio.CancelledError:
                raise
            except SystemExit as end:
                return Outcome(pycode.exit_code(end))
            except BlockedTooLongError as error:
                give_back_log_locks()
                cut_own_frames(error)
                sink.write(describe(error, CALLING, blocked(self._limit)))
                return Outcome(1, timed_out=True)
            except InvalidFieldsError as error:
                return Outcome(1, f"The function does not take these values: {error.message}")
            except BaseException as error:
                sink.write(describe(error, CALLING))
                return Outcome(1)
            finally:
                teller.end()

    async def _outcome(
        self,
        execution: Execution,
        watchdog: Watchdog,
        abandoned: asyncio.Event,
        cancelled: threading.Event,
        teller: ProgressTeller,
    ) -> Outcome:
        call = call_of(execution)
        arguments, keywords = call.function.signature.call_arguments(call.values)
        if call.function.signature.takes_context:
            arguments.insert(0, self._context(execution, cancelled, teller))
        coroutine = watchdog.guard(lambda: call.function.plain(*arguments, **keywords))
        value = await Watched(coroutine, watchdog, nullcontext, abandoned)
        return Outcome(0, returned=watchdog.guard(lambda: as_json(value)))

    def _context(
        self, execution: Execution, cancelled: threading.Event, teller: ProgressTeller
    ) -> JobContext:
        call = call_of(execution)
        return JobContext(
            id=execution.job_id,
            user=execution.user_id,
            attempt=call.attempt,
            deadline=call.deadline,
            cancelled=cancelled,
            log=job_log(),
            report=teller.report,
            application=self._host(),
        )


class _LoopTimer:
    """A timer of the loop that any thread may start and cancel."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, do: Callable[[], None]) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._is_cancelled = False
        loop.call_soon_threadsafe(self._start, seconds, do)

    def _start(self, seconds: float, do: Callable[[], None]) -> None:
        if not self._is_cancelled:
            self._handle = self._loop.call_later(seconds, do)

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._handle is not None:
            self._handle.cancel()


def _later(loop: asyncio.AbstractEventLoop) -> Callable[[float, Callable[[], None]], _LoopTimer]:
    return lambda seconds, do: _LoopTimer(loop, seconds, do)
