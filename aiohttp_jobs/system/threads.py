"""Threads that nobody has to wait for when the process ends.

Those of ``concurrent.futures``, and so of ``asyncio.to_thread``, are joined by the interpreter at its exit:
one that the kernel holds up (a disk that is gone, a file system in user space) would keep the process there.
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
    """At most `most` threads, started when they are needed and called `name` with a number."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._idle = Semaphore(0)
        self._guard = Lock()
        self._threads: list[Thread] = []
        self._closed = False

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `function` called in one of the threads. Raises ``RuntimeError`` after `shutdown`."""
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
        """Take no more calls. What was asked for is still done, but not waited for unless `wait`."""
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
    """The future answer of `function`, called in a thread of its own. For what is rare and may hang."""
    threads = DaemonThreads(1, f"aiohttp-jobs-{getattr(function, '__name__', 'call')}")
    future = threads.submit(function, *args, **kwargs)
    threads.shutdown()
    return future
