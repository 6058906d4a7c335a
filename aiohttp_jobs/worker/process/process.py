"""One child process in a session of its own: started, waited for, and ended with all its descendants.

``asyncio.create_subprocess_exec`` is not used: it reaps the child before anybody can end the
process group (whose number may then be somebody else's), and on Python 3.11 spends a thread on each.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from ...system.threads import started
from .endings import Endings
from .spawn import spawn

INSTANCE_VARIABLE = "AIOHTTP_JOBS_INSTANCE"
"""In the environment of every process that a job starts: which host process it belongs to."""
JOB_VARIABLE = "AIOHTTP_JOBS_JOB_ID"
"""In the environment of every process that a job starts: which job it belongs to."""

_KILL_ROUNDS = 10


class Process:
    """A running child, the leader of its own session and process group."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        folder: str,
        output: int,
        endings: Endings,
        pass_fds: Sequence[int] = (),
        program: str | None = None,
    ) -> None:
        """Start it, with both its output streams on the descriptor `output` and stdin empty.

        `program` is the file to run when it is not the first argument; `endings` tells when it has ended.

        Raises ``OSError`` when the program cannot be started.
        """
        arguments, program = endings.orphans.marking(arguments, program or str(arguments[0]))
        self.pid = spawn(
            arguments,
            program=program,
            environment=environment,
            folder=folder,
            output=output,
            pass_fds=pass_fds,
        )
        endings.orphans.started(self.pid)
        self._code: int | None = None
        self._endings = endings
        self._is_watched = False
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def is_running(self) -> bool:
        return self._code is None

    async def wait(self) -> int:
        """The exit code, negative for a signal. What is left of the process group then is killed."""
        if self._code is None:
            if not self._is_watched:
                self._endings.tell(self.pid, self._reap)
                self._is_watched = True
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        return self._code or 0

    async def stop(self, grace: float, mark: tuple[str, str]) -> int:
        """End it and every descendant: SIGTERM, and SIGKILL after `grace` seconds.

        `mark` is the environment variable and value by which descendants that left the group are
        found. Not to be interrupted: takes little more than `grace`.
        """
        await asyncio.wrap_future(started(_signal_tree, self.pid, signal.SIGTERM))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), grace)
        if self.is_running:
            await asyncio.wrap_future(started(_signal_tree, self.pid, signal.SIGKILL))
        await asyncio.wrap_future(started(kill_marked, *mark))
        return await self.wait()

    def _reap(self) -> None:
        # Not yet reaped, so the group's number is still ours.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._code = _exit_code(self.pid)
        self._endings.orphans.reaped(self.pid)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()


def _exit_code(pid: int) -> int:
    """Reap the child `pid`, which has ended."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # the host has every child reaped at once, and there is no code to be had
        return 0


def _signal_tree(pid: int, number: signal.Signals) -> None:
    """Send a signal to the group led by `pid` and to every descendant outside it."""
    try:
        descendants = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for process in descendants:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) != pid:
                process.send_signal(number)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        if number != signal.SIGKILL:
            os.killpg(pid, signal.SIGCONT)  # one that is stopped would not hear it


def kill_marked(variable: str, value: str) -> int:
    """Kill every process with `variable` set to `value` in its environment; how many there were.

    Finds what left its process group and its parents, such as a daemon that a job started. Repeats
    until none is left, since one may fork while it is looked for.
    """
    killed = 0
    for _ in range(_KILL_ROUNDS):
        found = [
            process
            for process in psutil.process_iter()
            if process.pid != os.getpid() and _has_mark(process, variable, value)
        ]
        if not found:
            break
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=0.2)
        killed += len(found)
    return killed


def _has_mark(process: psutil.Process, variable: str, value: str) -> bool:
    try:
        return process.environ().get(variable) == value and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False
