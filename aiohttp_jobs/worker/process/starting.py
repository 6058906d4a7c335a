"""Starts a job's process with ``subprocess.Popen``, hears of its end, and reaps it; or leaves all of that to
``with_asyncio``, where that is the better way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Protocol

from .orphans import Orphans
from .process import Process, Program
from .with_asyncio import AsyncioProcess

_LOOK_SECONDS = 0.02


class Endings:
    """The children that are waited for on the running loop: their ends come through a single entry in it, as
    asyncio's own way, a reader for each process, costs more than the rest of waiting.

    The caller reaps them; `orphans` are their orphaned descendants.
    """

    def __init__(self, orphans: Orphans | None = None) -> None:
        self.orphans = Orphans() if orphans is None else orphans
        self._watch: _Watch | None = None
        self._without_descriptors = _PeriodicWatch()

    def tell(self, pid: int, ended: Callable[[], None]) -> None:
        """Call `ended` on the running loop once the child `pid` has ended; it is not reaped yet."""
        try:
            self._best_watch().add(pid, ended)
        except OSError:  # this process may open no more descriptors
            self._without_descriptors.add(pid, ended)

    def close(self) -> None:
        """Close it, when nothing is waited for any more."""
        self._without_descriptors.close()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _best_watch(self) -> _Watch:
        if self._watch is None:
            self._watch = _descriptor_watch() if can_watch_descriptors() else self._without_descriptors
        return self._watch


Start = Callable[[Program, Endings], Awaitable[Process]]
"""One way of starting a process: the interface that `start_process` has, and each of the two ways."""


async def start_with_asyncio(program: Program, endings: Endings) -> Process:
    """Start it with ``asyncio.create_subprocess_exec``. Raises ``OSError``."""
    return await AsyncioProcess.start(program, endings.orphans)


async def start_with_popen(program: Program, endings: Endings) -> Process:
    """Start it with ``subprocess.Popen``. Raises ``OSError``."""
    return PopenProcess(program, endings)


async def start_process(program: Program, endings: Endings) -> Process:
    """Start it; `endings` reports its end where the loop does not. Raises ``OSError``.

    When cancelled, what was started by then may be left running.
    """
    # The portable way, where neither the system has a leaner one nor the loop makes it unsafe.
    is_portable = not can_watch_descriptors() and _is_asyncios_own(asyncio.get_running_loop())
    start = start_with_asyncio if is_portable else start_with_popen
    return await start(program, endings)


def _is_asyncios_own(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it is the loop of Python's library.

    uvloop has the same function, but hands the child each descriptor of the host that may be inherited
    (a server's listening sockets, for one), and forks the whole host where Python has ``vfork``: twice the
    processor time for a job, as ``benchmarks/sections/processes.py`` shows.
    """
    return isinstance(loop, asyncio.SelectorEventLoop)


class PopenProcess(Process):
    """A process whose end `endings` reports, and that is reaped here, which costs the event loop less.

    Its group is ended before it is reaped, so that its id cannot belong to another process.
    """

    def __init__(self, program: Program, endings: Endings) -> None:
        """Start it. Raises ``OSError``. Blocks until the program runs."""
        program = endings.orphans.marked(program)
        self._child = subprocess.Popen(program.arguments, **program.options())
        self.pid = self._child.pid
        endings.orphans.started(self.pid)
        self._endings = endings
        self._is_watched = False
        self._waiting: list[asyncio.Future[int]] = []

    @property
    def is_running(self) -> bool:
        return self._child.returncode is None

    async def wait(self) -> int:
        if self._child.returncode is not None:
            return self._child.returncode
        if not self._is_watched:
            self._endings.tell(self.pid, self._reap)
            self._is_watched = True
        waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting

    def _reap(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._child.wait()  # it has ended
        self._endings.orphans.reaped(self.pid)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(code)
        self._waiting.clear()


class _Watch(Protocol):
    def add(self, pid: int, ended: Callable[[], None]) -> None: ...

    def close(self) -> None: ...


@cache
def can_watch_descriptors() -> bool:
    """Whether this process can use pidfds. Linux has them since 5.3; older seccomp filters refuse them."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open") or not hasattr(select, "epoll"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def _descriptor_watch() -> _Watch:
    if sys.platform == "linux":
        return _DescriptorWatch()
    raise OSError("this system has no descriptors for processes")


if sys.platform == "linux":

    class _DescriptorWatch:
        """By a descriptor for each process, all of them in one epoll object."""

        def __init__(self) -> None:
            self._told: dict[int, Callable[[], None]] = {}
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._on_ends)

        def add(self, pid: int, ended: Callable[[], None]) -> None:
            descriptor = os.pidfd_open(pid)
            try:
                self._epoll.register(descriptor, select.EPOLLIN)
            except OSError:
                os.close(descriptor)
                raise
            self._told[descriptor] = ended

        def close(self) -> None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()

        def _on_ends(self) -> None:
            for descriptor, _ in self._epoll.poll(0):
                ended = self._told.pop(descriptor)
                self._epoll.unregister(descriptor)
                os.close(descriptor)
                ended()


class _PeriodicWatch:
    """By a look at each process every 20 ms, where the system has no descriptors for processes."""

    def __init__(self) -> None:
        self._told: dict[int, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, pid: int, ended: Callable[[], None]) -> None:
        self._told[pid] = ended
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look) if self._told else None
        for pid in [pid for pid in self._told if _has_ended(pid)]:
            self._told.pop(pid)()


def _has_ended(pid: int) -> bool:
    """Whether the child `pid` has ended. It is left to be reaped."""
    if hasattr(os, "waitid"):  # macOS has it since Python 3.13
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:
            return True
    import psutil  # noqa: PLC0415 - a megabyte that Linux does without

    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
