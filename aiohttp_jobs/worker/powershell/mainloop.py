"""PowerShell in MainLoop mode: one persistent session, like that of the specification's main loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ..base import Execution, Outcome
from .host import HostUnavailableError, PowerShellHost


class PowerShellSession:
    """The session. Each job finds what earlier ones left: variables, functions, modules, the working folder.

    It begins with the first job, in a host made by `start`. A job that ends the process, or cannot be stopped
    in time, ends the session; the next job starts a new one. `running` returns what
    ``$PSWebServer.Runspaces`` shows.
    """

    def __init__(
        self,
        start: Callable[[], PowerShellHost],
        running: Callable[[], list[Mapping[str, Any]]],
        kill_grace: float,
    ) -> None:
        self._start = start
        self._running = running
        self._kill_grace = kill_grace
        self._host: PowerShellHost | None = None
        self._turn = asyncio.Lock()

    @property
    def host(self) -> PowerShellHost | None:
        """Its process; ``None`` before it has begun."""
        return self._host

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        await self._end()

    async def restart(self) -> bool:
        """End the session, so that the next job starts a new one; false while a job runs in it."""
        if self._turn.locked():
            return False
        async with self._turn:
            await self._end()
        return True

    async def run(self, execution: Execution) -> Outcome:
        async with self._turn:
            try:
                host = await self._ready_host()
            except HostUnavailableError as error:
                return Outcome(1, str(error))
            try:
                return await host.run(execution, self._running(), self._kill_grace)
            finally:
                if not host.process.is_running:
                    await self._end()

    async def _ready_host(self) -> PowerShellHost:
        if self._host is not None and not self._host.is_alive:
            await self._end()
        if self._host is None:
            self._host = self._start()
        await self._host.ready()
        return self._host

    async def _end(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            await host.end()
