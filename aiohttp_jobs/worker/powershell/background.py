"""PowerShell in BackgroundJob mode: an unused host for each job."""

from __future__ import annotations

from ..base import Execution, ExpectedJob, Outcome
from .host import HostUnavailableError, PowerShellHost
from .running import running_job
from .spares import Spares


class PowerShellBackground:
    """Runs each job in a spare host of its own, with its own process group."""

    def __init__(self, spares: Spares, *, kill_grace: float) -> None:
        self._spares = spares
        self._kill_grace = kill_grace
        self._prepared: dict[str, PowerShellHost] = {}

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    def prepare(self, expected: ExpectedJob) -> None:
        """Have a spare get ready for a job that is being claimed, if one is there."""
        host = self._spares.take_ready()
        if host is not None:
            self._prepared[expected.job_id] = host  # so that it is ended, whatever happens here
            host.prepare(expected, [running_job(expected)])

    def place(self, job_id: str, job_dir: str) -> None:
        """Tell the process that prepares the job, if any does, in which folder the job will be."""
        host = self._prepared.get(job_id)
        if host is not None:
            host.place(job_dir)

    def withdraw(self, job_id: str) -> None:
        """End the spare of a job that will not run: it has been told of it, and so is nobody else's."""
        host = self._prepared.pop(job_id, None)
        if host is not None:
            self._spares.end(host)

    async def run(self, execution: Execution) -> Outcome:
        host = self._prepared.pop(execution.job_id, None)
        if host is not None and not host.is_alive:
            self._spares.end(host)
            host = None
        try:
            host = host or await self._spares.take()
        except HostUnavailableError as error:
            return Outcome(1, str(error))
        try:
            return await host.run(execution, [running_job(execution)], self._kill_grace)
        finally:
            self._spares.end(host)
