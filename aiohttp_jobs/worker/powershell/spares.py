"""Spares: unused PowerShell hosts that were started ahead of time, for every mode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...system.owned_tasks import OwnedTasks
from .host import HostUnavailableError, PowerShellHost

_LATER_SECONDS = 0.25
"""To start one takes a processor for half a second: a short job has ended before that begins."""


class Spares:
    """Keeps `count` hosts ready, made by `start`, after the first one was taken."""

    def __init__(self, start: Callable[[], PowerShellHost], count: int) -> None:
        self._start = start
        self._count = count
        self._waiting: list[PowerShellHost] = []
        self._ending = OwnedTasks("PowerShell's spares")
        self._timer: asyncio.TimerHandle | None = None
        self._is_closing = False

    async def take(self) -> PowerShellHost:
        """A ready host, which the caller must end. Raises `HostUnavailableError`."""
        while True:
            is_new = not self._waiting
            host = self._start() if is_new else self._waiting.pop(0)
            try:
                await host.ready()
            except HostUnavailableError:
                self.end(host)
                if is_new:
                    raise
            except BaseException:
                self._waiting.insert(0, host)
                raise
            else:
                if host.is_alive:
                    break
                self.end(host)
        self._fill_up_later()
        return host

    def take_ready(self) -> PowerShellHost | None:
        """The same without waiting; ``None`` when none is ready."""
        for host in self._waiting:
            if host.can_prepare:
                self._waiting.remove(host)
                self._fill_up_later()
                return host
        return None

    def _fill_up_later(self) -> None:
        if self._timer is None and not self._is_closing:
            self._timer = asyncio.get_running_loop().call_later(_LATER_SECONDS, self._fill_up)

    def _fill_up(self) -> None:
        self._timer = None
        while len(self._waiting) < self._count and not self._is_closing:
            try:
                self._waiting.append(self._start())
            except HostUnavailableError:
                return  # whoever takes the next one is told

    def end(self, host: PowerShellHost) -> None:
        """End a host in the background; `close` waits for it."""
        self._ending.start(host.end())

    async def close(self) -> None:
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        for host in self._waiting:
            self.end(host)
        self._waiting.clear()
        await self._ending.wait()
