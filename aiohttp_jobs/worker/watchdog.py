"""Stops Python code that blocks the event loop's thread for too long.

A second thread raises an exception in it (``PyThreadState_SetAsyncExc``) and interrupts a waiting system call
with a signal. Code that catches the exception gets the next one at its next step, until it is outside all
handlers. Only a C call that computes cannot be stopped: it, and the loop, go on until it returns.
"""

from __future__ import annotations

import _thread
import ctypes
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache, partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_AGAIN_SECONDS = 0.2
_PATIENT_ATTEMPTS = 3
_TIMER_SECONDS = 0.1
_logger = logging.getLogger(__name__)


class BlockedTooLongError(BaseException):
    """Raised inside the code that blocks.

    Not an ``Exception``, so that ``except Exception`` does not catch it.
    """


class Watchdogs:
    """What all watchdogs of one thread share: the thread that watches it, and two signals.

    The watching thread is started with the first of them and ended by `close`. It sleeps until the guarded
    call that it saw last would be too long, and is woken only by one that has less time: most calls begin and
    end meanwhile, and cost no change of threads.

    SIGURG, which is ignored by default, interrupts a waiting system call. SIGVTALRM comes at intervals of
    processor time. They are used for as long as any watchdog runs, but not if the host uses them itself, or
    off the main thread.
    """

    def __init__(self) -> None:
        self._users: list[Watchdog] = []
        self._before: dict[int, Any] = {}
        self._thread: threading.Thread | None = None
        self._changed: SimpleQueue[bool] = SimpleQueue()
        """Wakes the thread; told whether it is to end."""
        self._looks_at = math.inf
        """When the thread looks next, by the monotonic clock."""
        self._is_closed = False
        self.guarding: Watchdog | None = None
        """Whose call is watched: of those that run one in another the innermost."""

    @contextmanager
    def lent_to(self, watchdog: Watchdog) -> Iterator[None]:
        """Watch the calls of `watchdog`, and notify it of both signals, while the block runs."""
        if self._thread is None or not self._thread.is_alive():
            self._begin()
        if not self._users:
            self._take()
        self._users.append(watchdog)
        try:
            yield
        finally:
            self._users.remove(watchdog)
            if not self._users:
                self.guarding = None
                self._give_back()
                if self._is_closed:
                    self._end()

    def close(self) -> None:
        """End the thread: at once, or when the last watchdog ends."""
        self._is_closed = True
        if not self._users:
            self._end()

    def _begin(self) -> None:
        self._changed, self._looks_at = SimpleQueue(), math.inf
        target = partial(self._watch, self._changed)
        self._thread = threading.Thread(target=target, name="aiohttp-jobs-watchdog", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._changed.put(True)
            thread.join()

    def look_by(self, deadline: float) -> None:
        """Have the thread look at what is guarded at `deadline` at the latest. Takes no lock."""
        if deadline < self._looks_at:
            self._changed.put(False)

    def _watch(self, changed: SimpleQueue[bool]) -> None:
        attempts, struck, has_ended = 0, 0.0, False
        while not has_ended:
            watchdog = self.guarding
            deadline = None if watchdog is None else watchdog.deadline
            now = time.monotonic()
            if watchdog is None or deadline is None:
                wait = None
            elif deadline > now:
                wait = deadline - now
            else:
                attempts, struck = attempts + 1 if struck == deadline else 0, deadline
                watchdog.strike(deadline, attempts)
                wait = _AGAIN_SECONDS
            self._looks_at = math.inf if wait is None else now + wait
            # Only now, as whoever guards a call says so first and then reads when this looks: it or this
            # one sees what the other does.
            if self._deadline() == deadline:
                with suppress(Empty):
                    has_ended = changed.get(timeout=wait)

    def _deadline(self) -> float | None:
        return None if (watchdog := self.guarding) is None else watchdog.deadline

    def _take(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        handlers = {"SIGURG": self._on_interrupt, "SIGVTALRM": self._on_timer}
        for name, handler in handlers.items():
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.SIG_IGN):
                self._before[number] = signal.signal(number, handler)
        if signal.SIGVTALRM in self._before:
            signal.setitimer(signal.ITIMER_VIRTUAL, _TIMER_SECONDS)

    def _give_back(self) -> None:
        if signal.SIGVTALRM in self._before:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        while self._before:
            signal.signal(*self._before.popitem())

    def _on_interrupt(self, _number: int, frame: FrameType | None) -> None:
        for watchdog in tuple(self._users):
            watchdog.insist(frame)

    def _on_timer(self, _number: int, _frame: FrameType | None) -> None:
        """Now and then: a long switch interval would keep the watching thread waiting."""
        try:
            for watchdog in tuple(self._users):
                watchdog.be_let_in()
        finally:
            # Only now: with an interval, the next one could come before this one has ended. And not when
            # everything is being put back: SIGVTALRM without a handler ends the process.
            if self._users:
                signal.setitimer(signal.ITIMER_VIRTUAL, _TIMER_SECONDS)


class Watchdog:
    """Limits each call made through `guard` to `limit` seconds. For one thread only.

    That thread takes no lock: the exception may come right after a lock was taken, which would then never be
    released. Instead, each thread first writes what it does and then reads what the other does.
    """

    def __init__(self, limit: float, name: str, watchdogs: Watchdogs) -> None:
        """`watchdogs` are all of the thread."""
        self._watchdogs = watchdogs
        self._limit = limit
        self._name = name
        self._thread_id = threading.get_ident()
        self.deadline: float | None = None
        """When the call that is guarded has taken too long, by the monotonic clock."""
        self._interrupting = False
        self._was_sent = False
        self._switch_interval = sys.getswitchinterval()
        self._is_insisting = False
        self._striker = _striker(self._thread_id)

    def running(self) -> AbstractContextManager[None]:
        """Calls may be guarded inside the block."""
        return self._watchdogs.lent_to(self)

    def guard(self, call: Callable[[], T]) -> T:
        """Make `call`; raises `BlockedTooLongError` in it when it takes longer than the limit."""
        trace, outer = sys.gettrace(), self._watchdogs.guarding
        self.deadline = deadline = time.monotonic() + self._limit
        try:
            self._watchdogs.guarding = self
            self._watchdogs.look_by(deadline)
            return _without_hooks(call)
        finally:
            # This and `settrace` first, with nothing between them in which an exception could come.
            self.deadline = None
            # One exception may be on its way, and another one being sent; neither may arrive later.
            try:
                sys.settrace(trace)
                self._take_back()
            except BlockedTooLongError:
                try:
                    self._take_back()
                except BlockedTooLongError:
                    self._take_back()
            self._watchdogs.guarding = outer
            if outer is not None and outer.deadline is not None:
                self._watchdogs.look_by(outer.deadline)

    def _take_back(self) -> None:
        """Leave no exception on its way. The last one is let come, and caught here.

        To take it back by setting none, as C allows, leaves CPython 3.11 with a note that there is one: from
        then on each call of a function that is traced, by whomever, would go on for ever.
        """
        while self._interrupting:
            time.sleep(0)
        if self._was_sent:
            try:
                _set_exception(self._thread_id)
                while True:
                    pass
            except BlockedTooLongError:
                self._was_sent = False

    def strike(self, deadline: float, attempts: int) -> None:
        """In the watching thread: stop the call with this `deadline`, after so many `attempts` to do so."""
        self._is_insisting = attempts >= _PATIENT_ATTEMPTS
        sys.setswitchinterval(self._switch_interval)  # the job may have made it a long one
        if self._interrupt(deadline) and attempts == 0:
            self._warn()

    def be_let_in(self) -> None:
        """In the guarded thread: give the watching thread its turn, if its time has come."""
        deadline = self.deadline
        if deadline is not None and time.monotonic() > deadline + _AGAIN_SECONDS:
            sys.setswitchinterval(self._switch_interval)
            time.sleep(0.001)

    def _warn(self) -> None:
        """In a thread of its own: the guarded one may hold the log's lock, and may have lost it for ever.

        Nothing is waited for, not even that thread's start, which the guarded one could hold up.
        """
        message = "%s blocks the event loop and is being stopped"
        _thread.start_new_thread(_logger.warning, (message, self._name))

    def _interrupt(self, deadline: float) -> bool:
        """Raise the exception in the guarded call, if that is still the one with this `deadline`."""
        self._interrupting = True
        is_meant = self.deadline == deadline
        is_main = self._thread_id == threading.main_thread().ident and hasattr(signal, "pthread_kill")
        if is_meant and not (is_main and self._is_insisting):
            self._was_sent = True
            _set_exception(self._thread_id)
        if is_meant and is_main:
            signal.pthread_kill(self._thread_id, signal.SIGURG)
        self._interrupting = False
        return is_meant

    def insist(self, frame: FrameType | None) -> None:
        """Let a signal handler run, so that the exception is delivered and a system call ends.

        For code that has caught several, make another follow each line and each call.
        """
        if self.deadline is None or not self._is_insisting:
            return
        while frame is not None and frame.f_code is not _without_hooks.__code__:
            frame.f_trace = self._striker
            frame = frame.f_back
        sys.settrace(self._striker)
        raise BlockedTooLongError


@lru_cache(maxsize=4)  # what it makes is a class, and so garbage in a cycle
def _striker(thread_id: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that sets the exception, to come behind it: one in Python would meet it in itself.

    So it is the C function, which takes two arguments; the three that all trace functions get follow, and are
    ignored, as C allows with the calling conventions of all systems that have ``SIGURG``.
    """
    function = ctypes.PYFUNCTYPE(None, ctypes.c_ulong, *[ctypes.py_object] * 4)(
        ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
    )
    return partial(function, thread_id, BlockedTooLongError)


def _without_hooks(call: Callable[[], T]) -> T:
    """Make `call`; a trace or profile function that it leaves must not run in what follows, unwatched."""
    trace, profile = sys.gettrace(), sys.getprofile()
    try:
        return call()
    finally:
        if sys.gettrace() is not trace:
            sys.settrace(trace)
        if sys.getprofile() is not profile:
            sys.setprofile(profile)


def cut_own_frames(error: BaseException) -> None:
    """Remove this module's signal handler from the end of the traceback of `error`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        if trace.tb_next.tb_frame.f_code in _HANDLERS:
            trace.tb_next = None
        trace = trace.tb_next


def _set_exception(thread_id: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), ctypes.py_object(BlockedTooLongError)
    )


_HANDLERS = tuple(
    each.__code__
    for each in (
        Watchdogs._on_interrupt,
        Watchdogs._on_timer,
        Watchdog.insist,
        Watchdog.be_let_in,
    )
)
CALLING = (_without_hooks.__code__,)
"""The code that makes the guarded call: what is behind it in a trace is the call's."""
