"""Stops Python code that blocks the event loop's thread for too long.

A second thread raises an exception in the first (``PyThreadState_SetAsyncExc``) and interrupts a
waiting system call with a signal. What neither reaches is a C call that computes: it goes on, and
the loop with it, until it returns.
"""

from __future__ import annotations

import ctypes
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

_AGAIN_SECONDS = 0.2
_logger = logging.getLogger(__name__)


class BlockedTooLongError(BaseException):
    """Raised inside the code that blocks. Not an ``Exception``, so that ``except Exception`` lets it by."""


class Watchdog:
    """Bounds each call made through `guard` to `limit` seconds. Use it on one thread only."""

    def __init__(self, limit: float, name: str) -> None:
        self._limit = limit
        self._name = name
        self._thread_id = threading.get_ident()
        self._condition = threading.Condition()
        self._deadline: float | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._watch, name="aiohttp-jobs-watchdog", daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        with _interruptible_calls():
            self._thread.start()
            try:
                yield
            finally:
                with self._condition:
                    self._ended = True
                    self._condition.notify()
                self._thread.join()

    def guard(self, call: Callable[[], T]) -> T:
        """Make `call`; raises `BlockedTooLongError` out of it when it takes longer than the limit."""
        self._arm(time.monotonic() + self._limit)
        try:
            return call()
        finally:
            self._disarm()

    def _arm(self, deadline: float | None) -> None:
        with self._condition:
            self._deadline = deadline
            self._condition.notify()

    def _disarm(self) -> None:
        """Call off the watch. An exception already sent may arrive in here: it is taken back or out."""
        while True:
            try:
                self._arm(None)
                _set_exception(self._thread_id, None)
            except BlockedTooLongError:
                continue
            return

    def _watch(self) -> None:
        with self._condition:
            while not self._ended:
                if self._deadline is None:
                    self._condition.wait()
                elif (left := self._deadline - time.monotonic()) > 0:
                    self._condition.wait(left)
                else:
                    self._interrupt()
                    self._condition.wait(_AGAIN_SECONDS)

    def _interrupt(self) -> None:
        _logger.warning("%s blocks the event loop and is being stopped", self._name)
        _set_exception(self._thread_id, BlockedTooLongError)
        if self._thread_id == threading.main_thread().ident and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(self._thread_id, signal.SIGURG)


def cut_own_frames(error: BaseException) -> None:
    """Let the trace of `error` end in the code that was stopped, not in this module's signal handler."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        if trace.tb_next.tb_frame.f_code is _on_signal.__code__:
            trace.tb_next = None
        trace = trace.tb_next


def _set_exception(thread_id: int, kind: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), None if kind is None else ctypes.py_object(kind)
    )


@contextmanager
def _interruptible_calls() -> Iterator[None]:
    """Give SIGURG, which does nothing by default, a handler, so that it ends a waiting system call."""
    usable = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGURG")
    if not usable or signal.getsignal(signal.SIGURG) not in (signal.SIG_DFL, signal.SIG_IGN):
        yield
        return
    before = signal.signal(signal.SIGURG, _on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGURG, before)


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    """Nothing to do: running at all is what lets the exception that was set come through."""
