"""Tortured hosts: started with or without a tracer, killed, and what they wrote to their logs."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..conftest import API
from .strace import Injection, Tracer

ROOT = Path(__file__).parents[2]
START_SECONDS = 240.0
END_SECONDS = 60.0


def free_port() -> int:
    """A port below those that connections get by themselves, so that nobody takes it between two hosts."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class TorturedHost:
    """A process of `tests.torture.server` on the folder `data`."""

    def __init__(
        self,
        data: Path,
        port: int,
        log: Path,
        *,
        epoch: float | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._order = {"data": str(data), "port": port, "epoch": epoch, "settings": settings or {}}
        self._log = log
        self.has_started = False
        self._tracer: Tracer | None = None
        self.url = f"http://127.0.0.1:{port}{API}"

    async def start(self, injection: Injection | None = None, prefix: Sequence[str] = ()) -> bool:
        """Whether it came up; `injection` holds from its first step on. `prefix` starts the command line."""
        command = (*prefix, sys.executable, "-m", "tests.torture.server")
        with self._log.open("ab") as log:
            self._process: Process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=log
            )
        self.has_started = True
        if await self._line() != "ready":
            raise RuntimeError(f"{command} did not start")
        if injection is not None:
            await self.trace(injection)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._order).encode() + b"\n")
        is_up = await self._line() == "up"
        if not is_up:
            await self.ended()
        return is_up

    async def _line(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)).decode().strip()

    async def trace(self, injection: Injection) -> None:
        """Have `injection` happen to it from now on."""
        self._tracer = Tracer(injection)
        await self._tracer.attach(self.pid)

    async def leave_alone(self) -> None:
        """Let nothing be done to it any more."""
        if self._tracer is not None:
            await self._tracer.detach()
            self._tracer = None

    @property
    def is_traced(self) -> bool:
        return self._tracer is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self.has_started and self._process.returncode is None

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def died_within(self, seconds: float) -> bool:
        """Whether it ends by itself in that time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)
        return not self.is_alive

    async def ended(self) -> int:
        """Its exit code, once it has ended. Raises ``TimeoutError`` after a minute."""
        try:
            return await asyncio.wait_for(self._process.wait(), END_SECONDS)
        finally:
            if self._tracer is not None:
                await self._tracer.ended()

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """A normal shutdown; its exit code."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return await self.ended()
