"""The machines of a tortured cluster, each with a proxy of its own before PostgreSQL.

Hosts are `tests.torture.server`, workers are ``aiohttp-jobs worker`` as anybody starts it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...engine.postgres.support import SECRET
from ...tcp_proxy import TcpProxy
from ..hosts import ROOT, TorturedHost, free_port
from ..server import SETTINGS
from ..strace import Injection

STALL_SECONDS = 6.0
_SETTINGS: dict[str, Any] = {
    "engine": "postgres",
    "secret": SECRET,
    "stall_seconds": STALL_SECONDS,
    "max_parallel_background": 3,
    "max_pending_per_user": 100_000,
}


class TorturedWorker(TorturedHost):
    """A process of ``aiohttp-jobs worker`` on the folder `data`."""

    def __init__(self, data: Path, log: Path, dsn: str) -> None:
        super().__init__(data, 0, log)
        self._told = log
        self._command = [
            "worker", "--data-dir", str(data), "--name", data.name,
            "--grace", str(SETTINGS["shutdown_grace"]),
            "--concurrency", f"background={_SETTINGS['max_parallel_background']}",
        ]  # fmt: skip
        self._environment = {
            **os.environ,
            "AIOHTTP_JOBS_DSN": dsn,
            "AIOHTTP_JOBS_SECRET": SECRET,
            "AIOHTTP_JOBS_STALL_SECONDS": str(STALL_SECONDS),
            "AIOHTTP_JOBS_KILL_GRACE": str(SETTINGS["kill_grace"]),
            "AIOHTTP_JOBS_MIN_FREE_BYTES": "0",
        }

    async def start(self, injection: Injection | None = None, prefix: Sequence[str] = ()) -> bool:
        """Whether it came so far that it runs jobs, for which it waits for the first host."""
        with self._told.open("ab") as log:
            begin = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *prefix, sys.executable, "-m", "aiohttp_jobs", *self._command,
                cwd=ROOT, env=self._environment, stdin=DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.has_started = True
        while self.is_alive:
            if b"runs jobs" in self._told.read_bytes()[begin:]:
                return True
            await asyncio.sleep(0.1)
        await self.ended()
        return False


class Machine:
    """One host or worker, called `name`, which is started again whenever it has died."""

    def __init__(self, name: str, folder: Path, dsn: str, proxy: TcpProxy) -> None:
        self.name = name
        self.proxy = proxy
        self._folder = folder
        self._dsn = f"{dsn}?host=127.0.0.1&port={proxy.port}"
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
        if self.name.startswith("worker"):
            return TorturedWorker(data, self.log, self._dsn)
        return TorturedHost(data, self._port, self.log, settings={**_SETTINGS, "dsn": self._dsn})
