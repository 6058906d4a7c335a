"""Daemon threads, which nothing waits for when the process ends.

Threads of ``concurrent.futures``, and so of ``asyncio.to_thread``, are joined when the interpreter exits: one
that hangs in the kernel (a lost disk, a user-space file system) would keep the process alive.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Call = tuple[Future[Any], Callable[[], Any]]


class DaemonThreads(Executor):
    """An executor with at most `most` threads, named `name` with a number."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._idle = Semaphore(0)
        self._guard = Lock()
        self._threads: list[Thread] = []
        self._closed = False

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `function` in one of the threads. Raises ``RuntimeError`` after `shutdown`."""
        future: Future[T] = Future()
        with self._guard:
            if self._closed:
                raise RuntimeError("no more calls are taken: the threads were shut down")
            self._calls.put((future, lambda: function(*args, **kwargs)))
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
                thread = Thread(target=self._run, name=f"{self._name}_{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Accept no more calls. Those already accepted are still made, but only awaited with `wait`."""
        with self._guard:
            self._closed = True
        if cancel_futures:
            with contextlib.suppress(Empty):
                while (call := self._calls.get_nowait()) is not None:
                    call[0].cancel()
        self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while True:
            try:
                call = self._calls.get_nowait()
            except Empty:
                self._idle.release()
                call = self._calls.get()
            if call is None:
                self._calls.put(None)  # for the next thread
                return
            future, function = call
            if future.set_running_or_notify_cancel():
                try:
                    result = function()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
            del call, future, function


def started(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call `function` in a new thread; return a future. For rare calls that may hang."""
    threads = DaemonThreads(1, f"aiohttp-jobs-{getattr(function, '__name__', 'call')}")
    future = threads.submit(function, *args, **kwargs)
    threads.shutdown()
    return future
