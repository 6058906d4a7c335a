"""Reaps orphaned descendants of jobs, where the host is the process that inherits orphans.

That is so for the first process of a container, and for a subreaper: nobody else reaps them there, and each
would stay a zombie. A job's processes are recognized by an inherited mark that can still be read of a zombie:
``RLIMIT_LOCKS``, a limit that no kernel since Linux 2.5 enforces. Processes without it, such as the host's
own children, are never reaped.
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

from .process import Program

_SHELL = "/bin/sh"
_MARKING = 'ulimit -w {0} 2>/dev/null || ulimit -x {0} 2>/dev/null; exec "$@"'
"""``-w`` of dash and BusyBox, ``-x`` of Bash."""
_GET_CHILD_SUBREAPER = 37  # prctl(2)
_LIMIT = re.compile(r"^Max file locks +(\d+) ", re.MULTILINE)
_FIRST_MARK = 1 << 40


class Orphans:
    """The orphans of one plugin's jobs. Does nothing where this process inherits none."""

    def __init__(self) -> None:
        self._is_needed = False
        self._mark = _FIRST_MARK + secrets.randbits(40)
        self._own: set[int] = set()
        self._found: list[int] = []
        self._being_started = 0

    def open(self) -> None:
        """Find out whether this process inherits orphans; before the first job starts."""
        self._is_needed = sys.platform == "linux" and (os.getpid() == 1 or _is_subreaper())

    @property
    def is_needed(self) -> bool:
        """Whether this process inherits orphans, so that there may ever be some to reap."""
        return self._is_needed

    def marked(self, program: Program) -> Program:
        """The program to start instead of `program`, so that all its descendants have the mark.

        A shell sets the mark on itself first; marking a running process from outside could be too late.
        """
        if not self._is_needed:
            return program
        path = program.path or program.arguments[0]
        marking = [_SHELL, "-c", _MARKING.format(self._mark), _SHELL, path, *program.arguments[1:]]
        return replace(program, arguments=marking, path=_SHELL)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """While the block starts a process whose id is not known yet, nothing is reaped."""
        self._being_started += 1
        try:
            yield
        finally:
            self._being_started -= 1

    def started(self, pid: int) -> None:
        """Register the child `pid`, which its starter will reap."""
        if self._is_needed:
            self._own.add(pid)

    def reaped(self, pid: int) -> None:
        """Unregister the child `pid`."""
        self._own.discard(pid)

    def has_news(self) -> bool:
        """Whether there are orphans to reap. Blocks: if any child has ended, ``/proc`` is read."""
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
        """Reap the orphans that were found, unless a process is being started."""
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
