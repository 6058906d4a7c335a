"""Starts a job's process with ``subprocess.Popen``, and reaps it; or leaves both to ``with_asyncio``, where
that is the better way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable

from .endings import Endings, can_watch_descriptors
from .process import Process, Program
from .with_asyncio import AsyncioProcess

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
