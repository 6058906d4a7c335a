"""The machines of a tortured cluster: processes of `tests.torture.server`, each with a proxy of its own."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from ...engine.postgres.support import SECRET
from ...tcp_proxy import TcpProxy
from ..hosts import TorturedHost, free_port

STALL_SECONDS = 6.0
_SETTINGS: dict[str, Any] = {
    "engine": "postgres",
    "secret": SECRET,
    "stall_seconds": STALL_SECONDS,
    "max_parallel_background": 3,
    "max_pending_per_user": 100_000,
}


class Machine:
    """One host or worker, called `name`, which is started again whenever it has died."""

    def __init__(self, name: str, folder: Path, dsn: str, proxy: TcpProxy) -> None:
        self.name = name
        self.proxy = proxy
        self._folder = folder
        self._settings = {**_SETTINGS, "dsn": f"{dsn}?host=127.0.0.1&port={proxy.port}"}
        self._port = free_port()
        self._host = self._new()
        self.deaths = 0

    @property
    def url(self) -> str:
        """Without the path of the API."""
        return self._host.url.removesuffix("/api/v1")

    @property
    def log(self) -> Path:
        return self._folder / f"{self.name}.log"

    async def start(self) -> None:
        """Try until it is up: while PostgreSQL is away, it says so and ends, as for a service manager."""
        while not await self._host.start():
            await asyncio.sleep(0.5)
            self._host = self._new()

    async def kill(self) -> None:
        """And start it again."""
        self.deaths += 1
        await self._host.kill()
        self._host = self._new()
        await self.start()

    async def stop_for(self, seconds: float) -> None:
        """As a machine that hangs, and then goes on."""
        self._host.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._host.send(signal.SIGCONT)

    async def cut_off_for(self, seconds: float) -> None:
        """From PostgreSQL: nothing arrives, and nobody is told."""
        self.proxy.cut()
        await asyncio.sleep(seconds)
        self.proxy.mend()

    async def end(self) -> int:
        """A normal shutdown; its exit code."""
        return await self._host.stop() if self._host.is_alive else 0

    async def abandon(self) -> None:
        """Whatever happened."""
        if self._host.has_started and self._host.is_alive:
            await self._host.kill()

    def _new(self) -> TorturedHost:
        data = self._folder / self.name
        data.mkdir(mode=0o700, exist_ok=True)
        return TorturedHost(data, self._port, self.log, settings=self._settings)
