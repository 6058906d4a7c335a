"""One child process in its own session, and ending it with all its descendants.

It is started, awaited and reaped by ``starting`` or ``with_asyncio``;
``descendants`` finds what has left its group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from subprocess import DEVNULL
from typing import Any

from ...system.threads import started

INSTANCE_VARIABLE = "AIOHTTP_JOBS_INSTANCE"
"""In the environment of every process that a job starts: which host process it belongs to."""
JOB_VARIABLE = "AIOHTTP_JOBS_JOB_ID"
"""In the environment of every process that a job starts: which job it belongs to."""

_DESCENDANTS = f"{__package__}.descendants"


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: the file `path`, run with `arguments` (the first is its name) in the folder `folder`.

    It gets only the variables in `environment`, an empty stdin, the descriptor `output` as stdout and stderr,
    and the descriptors in `pass_fds`. Without `path`, the first argument is the file.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    output: int
    path: str | None = None
    pass_fds: Sequence[int] = ()

    def options(self) -> dict[str, Any]:
        """The keyword arguments for ``subprocess.Popen`` and ``asyncio.create_subprocess_exec``.

        The process leads its own session and process group.
        """
        return {
            "executable": self.path,
            "stdin": DEVNULL,
            "stdout": self.output,
            "stderr": self.output,
            "cwd": self.folder,
            "env": self.environment,
            "start_new_session": True,
            "pass_fds": tuple(self.pass_fds),
        }


class Process(ABC):
    """A child, the leader of its own session and process group. For the event loop's thread."""

    pid: int

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether the loop has not been notified of its end yet."""

    @abstractmethod
    async def wait(self) -> int:
        """Wait for its end; return its exit code, negative for a signal.

        The rest of its process group is killed then.
        """

    async def stop(self, grace: float, marks: Mapping[str, str]) -> int:
        """End it and every descendant: SIGTERM, and SIGKILL after `grace` seconds; its exit code.

        `marks` are the environment variables by which descendants that left the group are found.
        Not to be interrupted: takes little more than `grace`.
        """
        await self._signal_tree(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), grace)
        await self._signal_tree(signal.SIGKILL)
        await asyncio.wrap_future(started(kill_marked, marks))
        return await self.wait()

    def kill(self) -> None:
        """Send SIGKILL to its group, unless it has ended."""
        self._signal_group(signal.SIGKILL)

    async def _signal_tree(self, number: signal.Signals) -> None:
        """Send a signal to every descendant outside the group, and then to the group."""
        if self.is_running:
            await asyncio.wrap_future(started(_signal_strays, self.pid, number))
            self._signal_group(number)

    def _signal_group(self, number: signal.Signals) -> None:
        if not self.is_running:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
            if number != signal.SIGKILL:
                os.killpg(self.pid, signal.SIGCONT)  # one that is stopped would not hear it


def marks_of(job_id: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What all have in their environment that a job with this `environment` starts, and nobody else.

    Not the job alone: another process of this installation may run its next attempt, on the same machine.
    """
    instance = environment.get(INSTANCE_VARIABLE)
    return {JOB_VARIABLE: job_id} | ({} if instance is None else {INSTANCE_VARIABLE: instance})


def kill_marked(marks: Mapping[str, str], is_meant: Callable[[int], bool] = lambda pid: True) -> int:
    """Kill every process with all `marks` in its environment that `is_meant`; how many there were.

    This finds daemons that have left their process group and parents. Blocks.
    """
    from . import descendants  # noqa: PLC0415 - see `be_ready_to_stop`

    return descendants.kill_marked(marks, is_meant)


def _signal_strays(leader: int, number: signal.Signals) -> None:
    """Send a signal to every descendant of `leader` that is not in its group. Blocks."""
    from . import descendants  # noqa: PLC0415 - see `be_ready_to_stop`

    descendants.signal_strays(leader, number)


def be_ready_to_stop() -> None:
    """Load what stops jobs, in a thread, unless it is there: later no file may be left to be opened.

    It comes with psutil, a megabyte that a host without jobs does without. Called for each job.
    """
    if _DESCENDANTS not in sys.modules:
        started(import_module, _DESCENDANTS)
