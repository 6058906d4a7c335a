"""Readiness: whether this process can accept jobs now, without waiting for checks that hang.

The checks themselves are supplied by the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from ..errors import JobsError
from ..system.storage_faults import fault_of

Look = Callable[[], Awaitable[None]]
"""Raises what stands in the way of taking jobs."""

_PATIENCE_SECONDS = 1.0
_GOOD_SECONDS = 2.0
_BAD_SECONDS = 0.5
SERVER = "server"
"""The name of the finding about the process itself."""


class NotReadyError(Exception):
    """Jobs cannot be accepted. The message tells the operator why."""


class Phase(Enum):
    """The phase of a process's life. The values are sentences."""

    STARTING = "The server is starting."
    SERVING = "The server is up."
    DRAINING = "The server is about to stop, and is to be given no more requests."
    CLOSING = "The server is stopping."


@dataclass(frozen=True, slots=True)
class ReadinessFinding:
    """The result of one check; `message` is for the operator."""

    name: str
    is_good: bool
    message: str


class Readiness:
    """Runs the checks on demand, at most twice a second, each in its own task.

    A check that hangs is waited for once, for a second. Until it returns, it counts as failed and is not
    started again.
    """

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._watched = [_Watched(name, look) for name, look in looks.items()]
        self.phase = Phase.STARTING

    @property
    def is_ending(self) -> bool:
        return self.phase in (Phase.DRAINING, Phase.CLOSING)

    async def findings(self) -> list[ReadinessFinding]:
        """The results of all checks, within about a second."""
        server = ReadinessFinding(SERVER, self.phase is Phase.SERVING, self.phase.value)
        if self.phase is Phase.STARTING:
            return [server]
        return [server, *await asyncio.gather(*(each.finding() for each in self._watched))]

    async def close(self) -> None:
        """Cancel the checks that are running, as far as possible."""
        for each in self._watched:
            await each.close()


class _Watched:
    """One thing: what was found last, and the look that is under way."""

    def __init__(self, name: str, look: Look) -> None:
        self._name = name
        self._look = look
        self._found: ReadinessFinding | None = None
        self._fresh_until = 0.0
        self._began = 0.0
        self._task: asyncio.Task[None] | None = None

    async def finding(self) -> ReadinessFinding:
        clock = asyncio.get_running_loop().time
        if self._found is not None and clock() < self._fresh_until:
            return self._found
        if self._task is None:
            self._began = clock()
            self._task = asyncio.create_task(self._find())
        left = self._began + _PATIENCE_SECONDS - clock()
        if left > 0:
            await asyncio.wait([self._task], timeout=left)
        if self._task is None and self._found is not None:
            return self._found
        seconds = clock() - self._began
        return ReadinessFinding(self._name, False, f"There has been no answer for {seconds:.0f} s.")

    async def _find(self) -> None:
        try:
            await self._look()
            found = ReadinessFinding(self._name, True, "Good.")
        except Exception as error:
            found = ReadinessFinding(self._name, False, _sentence(error))
        fresh = _GOOD_SECONDS if found.is_good else _BAD_SECONDS
        self._found, self._fresh_until = found, asyncio.get_running_loop().time() + fresh
        self._task = None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_PATIENCE_SECONDS)


def _sentence(error: Exception) -> str:
    """What went wrong, in words; of an unexpected error no more than its kind, as it may tell anything."""
    if isinstance(error, JobsError | NotReadyError):
        return str(error)
    fault = fault_of(error)
    if fault is not None:
        return fault.sentence("The data folder")
    return f"It failed ({type(error).__name__}); see the server's log."
