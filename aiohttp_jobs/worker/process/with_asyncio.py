"""Processes by ``asyncio.create_subprocess_exec``, on the event loop of Python's own library.

asyncio reaps the child by itself, on the loop or in a thread, and tells of it a moment later. From then on
the child's number is free as soon as nobody is left in its group, and a signal to the group might hit
somebody else's. That does not happen:

- POSIX gives a new process no number that a group still has. If there is a process with the child's number
  after the child was reaped, it is a stranger, our group is gone, and nothing is signalled. If there is
  none, the group with that number is what the job has left.
- Between the reaping and the loop's hearing of it, and between that look and the signal, a new process would
  have to get the number. Numbers are given in turn: as many processes as there are numbers (32,768 at
  the least) would have to be started in that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Self

from .orphans import Orphans
from .process import Process, Program


class AsyncioProcess(Process):
    """A process that asyncio starts and reaps."""

    def __init__(self, child: asyncio.subprocess.Process, orphans: Orphans) -> None:
        self.pid = child.pid
        self._child = child
        self._orphans = orphans
        self._is_group_ended = False

    @classmethod
    async def start(cls, program: Program, orphans: Orphans) -> Self:
        """Start it. Raises ``OSError``.

        When cancelled, asyncio ends the process, but not what it has started by then.
        """
        program = orphans.marked(program)
        with orphans.starting():
            child = await asyncio.create_subprocess_exec(*program.arguments, **program.options())
            orphans.started(child.pid)
        return cls(child, orphans)

    @property
    def is_running(self) -> bool:
        return self._child.returncode is None

    async def wait(self) -> int:
        code = await self._child.wait()
        if not self._is_group_ended:
            self._is_group_ended = True
            _end_rest_of_group(self.pid)
            self._orphans.reaped(self.pid)
        return code


def _end_rest_of_group(leader: int) -> None:
    """Kill what is left of the group of a leader that was reaped."""
    try:
        os.kill(leader, 0)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
    except PermissionError:
        pass  # a stranger's, as without the error
