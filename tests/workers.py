"""Workers in processes of their own, as an administrator starts them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .engine.postgres.support import SECRET
from .gate import PATIENCE_SECONDS


@dataclass
class WorkerThere:
    """A worker that runs. `said` is what it has told so far."""

    process: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)

    async def until_said(self, text: str) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(text in line for line in self.said):
                line = await self.process.stderr.readline()
                assert line, self.said
                self.said.append(line.decode())

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, rest = await self.process.communicate()
        self.said += (rest or b"").decode().splitlines()
        return self.process.returncode or 0


@asynccontextmanager
async def worker(
    dsn: str, folder: Path, *options: str, secret: str = SECRET, is_ready: bool = True
) -> AsyncIterator[WorkerThere]:
    """One that has started, unless it is not to be waited for; it is killed at the end if it still runs."""
    folder.mkdir(mode=0o700, exist_ok=True)
    environment = {**os.environ, "AIOHTTP_JOBS_SECRET": secret, "AIOHTTP_JOBS_DSN": dsn}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aiohttp_jobs", "worker", "--data-dir", str(folder),
        "--concurrency", "runspace=1,background=2", *options,
        env=environment, stderr=-1, limit=2**20,
    )  # fmt: skip
    there = WorkerThere(process)
    try:
        if is_ready:
            await there.until_said("runs jobs")
        yield there
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            try:
                await there.ended()
            except TimeoutError:
                process.kill()
                await process.wait()
