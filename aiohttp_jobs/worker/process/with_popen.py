"""Processes by ``subprocess.Popen``, started at once and reaped here, with less work for the loop.

The group is ended while its leader is still there to be reaped, so that its number is nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess

from .endings import Endings
from .process import Process
from .program import Program


class PopenProcess(Process):
    """A process whose end is told by `endings`."""

    def __init__(self, program: Program, endings: Endings) -> None:
        """Start it. Raises ``OSError`` when that is not possible. Blocks until the program runs."""
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
