"""Reaps what jobs leave behind where the host is the process that the kernel gives orphans to.

That is so for the first process of a container, and for a subreaper. Nobody else waits for them there, and
each would stay as a zombie for ever. Which ended processes are a job's is told by a mark that each descendant
inherits and that is still to be read of a zombie: ``RLIMIT_LOCKS``, a limit that no kernel since Linux 2.5
enforces. What has not got it, such as a process that the host itself started, is never waited for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .program import Program

_SHELL = "/bin/sh"
_MARKING = 'ulimit -w {0} 2>/dev/null || ulimit -x {0} 2>/dev/null; exec "$@"'
"""``-w`` of dash and BusyBox, ``-x`` of Bash."""
_GET_CHILD_SUBREAPER = 37  # prctl(2)
_LIMIT = re.compile(r"^Max file locks +(\d+) ", re.MULTILINE)
_FIRST_MARK = 1 << 40


class Orphans:
    """What the jobs of one plugin have left to this process. Does nothing where no orphans come to it."""

    def __init__(self) -> None:
        self._is_needed = False
        self._mark = _FIRST_MARK + secrets.randbits(40)
        self._own: set[int] = set()
        self._found: list[int] = []
        self._being_started = 0

    def open(self) -> None:
        """Find out whether orphans come to this process; before the first job starts."""
        self._is_needed = sys.platform == "linux" and (os.getpid() == 1 or _is_subreaper())

    def marked(self, program: Program) -> Program:
        """What to start in place of `program`, for all that it starts to have the mark.

        A shell gives itself the mark first. To mark a process from outside once it runs could come too late.
        """
        if not self._is_needed:
            return program
        path = program.path or program.arguments[0]
        marking = [_SHELL, "-c", _MARKING.format(self._mark), _SHELL, path, *program.arguments[1:]]
        return replace(program, arguments=marking, path=_SHELL)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """While a process is being started whose number is not known yet: nobody is reaped meanwhile."""
        self._being_started += 1
        try:
            yield
        finally:
            self._being_started -= 1

    def started(self, pid: int) -> None:
        """`pid` is a process that this one has just started for a job, and will reap by itself."""
        if self._is_needed:
            self._own.add(pid)

    def reaped(self, pid: int) -> None:
        """`pid`, which was `started`, is no more."""
        self._own.discard(pid)

    def has_news(self) -> bool:
        """Whether there are orphans to reap. Blocks: if any child has ended, it looks through ``/proc``."""
        if not self._is_needed or sys.platform != "linux":
            return False
        try:
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return False
        except ChildProcessError:
            return False
        self._found = [
            int(name) for name in os.listdir("/proc") if name.isdigit() and self._is_orphan(int(name))
        ]
        return bool(self._found)

    def look_soon(self) -> None:
        """Reap those that were found, or leave it to the next time while a process is being started."""
        for pid in () if self._being_started else self._found:
            with contextlib.suppress(OSError):
                self._reap(pid)
        self._found = []

    def _reap(self, pid: int) -> None:
        if sys.platform != "linux":
            return
        # Opened before the look: it never means another process that got the same number.
        descriptor = os.pidfd_open(pid)
        try:
            if self._is_orphan(pid):
                os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
        finally:
            os.close(descriptor)

    def _is_orphan(self, pid: int) -> bool:
        """Whether it is a zombie, a child of this process, with the mark, and nobody else's to reap."""
        if pid in self._own:
            return False
        try:
            state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if state != "Z" or int(parent) != os.getpid():
                return False
            limit = _LIMIT.search(Path(f"/proc/{pid}/limits").read_text())
        except OSError:  # it is gone
            return False
        return limit is not None and int(limit[1]) == self._mark


def _is_subreaper() -> bool:
    answer = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL(None).prctl(_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    except (OSError, AttributeError):
        return False
    return not failed and bool(answer.value)
