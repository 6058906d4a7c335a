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
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

_AGAIN_SECONDS = 0.2
_logger = logging.getLogger(__name__)


class BlockedTooLongError(BaseException):
    """Raised inside the code that blocks. Not an ``Exception``, so that ``except Exception`` lets it by."""


class Watchdog:
    """Bounds each call made through `guard` to `limit` seconds. Use it on one thread only.

    That thread takes no lock: the exception may come right behind the taking of one, which would then never
    be given back. Instead each thread first writes what it does and then reads what the other one does.
    """

    def __init__(self, limit: float, name: str) -> None:
        self._limit = limit
        self._name = name
        self._thread_id = threading.get_ident()
        self._changed: SimpleQueue[None] = SimpleQueue()
        self._deadline: float | None = None
        self._interrupting = False
        self._ended = False
        self._thread = threading.Thread(target=self._watch, name="aiohttp-jobs-watchdog", daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        with _interruptible_calls():
            self._thread.start()
            try:
                yield
            finally:
                self._ended = True
                self._changed.put(None)
                self._thread.join()

    def guard(self, call: Callable[[], T]) -> T:
        """Make `call`; raises `BlockedTooLongError` out of it when it takes longer than the limit."""
        self._deadline = time.monotonic() + self._limit
        try:
            self._changed.put(None)
            return call()
        finally:
            self._deadline = None
            # One exception may be on its way, and another one being sent; neither may arrive later.
            try:
                self._take_back()
            except BlockedTooLongError:
                try:
                    self._take_back()
                except BlockedTooLongError:
                    self._take_back()

    def _take_back(self) -> None:
        while self._interrupting:
            time.sleep(0)
        _set_exception(self._thread_id, None)

    def _watch(self) -> None:
        while not self._ended:
            deadline = self._deadline
            if deadline is None:
                self._changed.get()
            elif (left := deadline - time.monotonic()) > 0:
                self._wait(left)
            else:
                self._interrupt(deadline)
                self._wait(_AGAIN_SECONDS)

    def _wait(self, seconds: float) -> None:
        with suppress(Empty):
            self._changed.get(timeout=seconds)

    def _interrupt(self, deadline: float) -> None:
        self._interrupting = True
        is_meant = self._deadline == deadline
        if is_meant:
            _set_exception(self._thread_id, BlockedTooLongError)
            if self._thread_id == threading.main_thread().ident and hasattr(signal, "pthread_kill"):
                signal.pthread_kill(self._thread_id, signal.SIGURG)
        self._interrupting = False
        if is_meant:
            _logger.warning("%s blocks the event loop and is being stopped", self._name)


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
