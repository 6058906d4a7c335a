"""PowerShell in the Runspace mode: a bounded pool of warm hosts, each serving one user at a time.

As with Python's workers, one that has run a user's code is never given another user's job.
"""

from __future__ import annotations

import asyncio

from ..base import Execution, Outcome
from .host import HostUnavailableError, PowerShellHost
from .running import running_job
from .spares import Spares

MOST_JOBS = 500
"""Then a host is replaced, whatever it looks like."""
MOST_MEMORY = 400 * 1024 * 1024


class PowerShellRunspaces:
    """Runs each job in a runspace of its own, in one of at most `size` hosts."""

    def __init__(self, spares: Spares, *, size: int, kill_grace: float) -> None:
        self._spares = spares
        self._size = size
        self._kill_grace = kill_grace
        self._idle: list[PowerShellHost] = []
        self._busy: set[PowerShellHost] = set()
        self._free = asyncio.Semaphore(size)
        self._is_closing = False

    @property
    def workers(self) -> list[PowerShellHost]:
        """The hosts of this moment that have an owner, the longest running first."""
        return sorted((*self._idle, *self._busy), key=lambda host: host.started_at)

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self._is_closing = True
        for host in self.workers:
            self._spares.end(host)
        self._idle.clear()

    async def run(self, execution: Execution) -> Outcome:
        async with self._free:
            try:
                host = await self._take(execution.user_id)
            except HostUnavailableError as error:
                return Outcome(1, str(error))
            self._busy.add(host)
            try:
                return await host.run(execution, [running_job(execution)], self._kill_grace)
            finally:
                self._busy.discard(host)
                self._give_back(host)

    async def _take(self, user_id: str) -> PowerShellHost:
        """A host that has served only `user_id`, the one that ran last, or a fresh one."""
        for host in reversed(tuple(self._idle)):
            if host.owner == user_id:
                self._idle.remove(host)
                if host.is_alive:
                    return host
                self._spares.end(host)
        while self._idle and len(self._idle) + len(self._busy) >= self._size:
            self._spares.end(self._idle.pop(0))
        host = await self._spares.take()
        host.owner = user_id
        return host

    def _give_back(self, host: PowerShellHost) -> None:
        is_spent = host.served >= MOST_JOBS or host.memory > MOST_MEMORY
        if host.is_reusable and not is_spent and not self._is_closing:
            self._idle.append(host)
        else:
            self._spares.end(host)
