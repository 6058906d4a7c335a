"""Processes started with ``subprocess.Popen`` and reaped here, which costs the event loop less.

The group is ended before its leader is reaped, so that its id cannot belong to another process.
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
    """A process whose end `endings` reports."""

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
