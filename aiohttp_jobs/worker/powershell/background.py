"""PowerShell in BackgroundJob mode: an unused host for each job."""

from __future__ import annotations

from ..base import Execution, Outcome
from .host import HostUnavailableError
from .running import running_job
from .spares import Spares


class PowerShellBackground:
    """Runs each job in a spare host of its own, with its own process group."""

    def __init__(self, spares: Spares, *, kill_grace: float) -> None:
        self._spares = spares
        self._kill_grace = kill_grace

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def run(self, execution: Execution) -> Outcome:
        try:
            host = await self._spares.take()
        except HostUnavailableError as error:
            return Outcome(1, str(error))
        try:
            return await host.run(execution, [running_job(execution)], self._kill_grace)
        finally:
            self._spares.end(host)
