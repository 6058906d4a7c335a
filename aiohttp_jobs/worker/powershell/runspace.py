"""PowerShell in Runspace mode: a bounded pool of warm hosts, each of which serves one user.

As with Python's workers, a host that has run a user's code is never given another user's job.
"""

from __future__ import annotations

import asyncio

from ...system.owned_tasks import OwnedTasks
from ..base import Execution, ExpectedJob, Outcome
from .host import HostUnavailableError, PowerShellHost
from .running import running_job
from .spares import Spares

MOST_JOBS = 500
"""Then a host is replaced, whatever it looks like."""
MOST_MEMORY = 400 * 1024 * 1024
_PRACTICE = 36
"""After some more than 32 runs PowerShell compiles a script, and .NET what it goes through."""
PRACTICE_AFTER_JOBS = 2
"""To practise takes a processor for a second or two: for who comes back."""
_PRACTICE_AFTER_SECONDS = 0.25
_BREATH_SECONDS = 0.02


class PowerShellRunspaces:
    """Runs each job in its own runspace, in one of at most `size` hosts."""

    def __init__(self, spares: Spares, *, size: int, kill_grace: float) -> None:
        self._spares = spares
        self._size = size
        self._kill_grace = kill_grace
        self._idle: list[PowerShellHost] = []
        self._busy: set[PowerShellHost] = set()
        self._prepared: dict[str, PowerShellHost] = {}
        self._free = asyncio.Semaphore(size)
        self._practising = OwnedTasks("PowerShell's practice")
        self._timer: asyncio.TimerHandle | None = None
        self._is_closing = False

    @property
    def workers(self) -> list[PowerShellHost]:
        """The current hosts that have an owner, oldest first."""
        return sorted((*self._idle, *self._busy), key=lambda host: host.started_at)

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        for host in self.workers:
            self._spares.end(host)
        self._idle.clear()
        await self._practising.wait()

    def prepare(self, expected: ExpectedJob) -> None:
        """Have the user's host that ran last get ready for a job that is being claimed, if it waits."""
        for host in reversed(self._idle):
            if host.owner == expected.user_id and host.can_prepare:
                host.prepare(expected, [running_job(expected)])
                self._idle.remove(host)
                self._busy.add(host)
                self._prepared[expected.job_id] = host
                return

    def place(self, job_id: str, job_dir: str) -> None:
        """Tell the process that prepares the job, if any does, in which folder the job will be."""
        host = self._prepared.get(job_id)
        if host is not None:
            host.place(job_dir)

    def withdraw(self, job_id: str) -> None:
        """Take back what was prepared for a job that will not run."""
        host = self._prepared.pop(job_id, None)
        if host is not None:
            host.withdraw()
            self._busy.discard(host)
            self._give_back(host)

    async def run(self, execution: Execution) -> Outcome:
        async with self._free:
            try:
                host = self._take_prepared(execution) or await self._take(execution.user_id)
            except HostUnavailableError as error:
                return Outcome(1, str(error))
            self._busy.add(host)
            try:
                return await host.run(execution, [running_job(execution)], self._kill_grace)
            finally:
                self._busy.discard(host)
                self._give_back(host)

    def _take_prepared(self, execution: Execution) -> PowerShellHost | None:
        host = self._prepared.pop(execution.job_id, None)
        if host is None or (host.is_alive and host.owner == execution.user_id):
            return host
        self._busy.discard(host)
        self._spares.end(host)
        return None

    async def _take(self, user_id: str) -> PowerShellHost:
        """A host that has served only `user_id`, the one that ran last, or a fresh one."""
        for host in reversed(tuple(self._idle)):
            if host.owner == user_id and host in self._idle:
                self._idle.remove(host)
                try:
                    is_fit = await host.is_fit()
                except BaseException:
                    self._spares.end(host)
                    raise
                if is_fit:
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
            self._practise_later()
        else:
            self._spares.end(host)

    def _practise_later(self) -> None:
        if self._timer is None and not self._practising and self._to_practise() is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_PRACTICE_AFTER_SECONDS, self._begin_practice)

    def _to_practise(self) -> PowerShellHost | None:
        """The host that ran last of those that wait and that practice makes faster."""
        if self._busy or self._is_closing:
            return None
        for host in reversed(self._idle):
            if host.served >= PRACTICE_AFTER_JOBS and host.served + host.practised < _PRACTICE:
                return host
        return None

    def _begin_practice(self) -> None:
        self._timer = None
        self._practising.start(self._practise())

    async def _practise(self) -> None:
        """Have hosts run a script of ours, one at a time, until no more is gained by it or a job comes."""
        while (host := self._to_practise()) is not None:
            if not await host.practise() and host in self._idle:
                self._idle.remove(host)
                self._spares.end(host)
            await asyncio.sleep(_BREATH_SECONDS)
