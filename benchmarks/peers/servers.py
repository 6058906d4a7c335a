"""redis-server and PostgreSQL for the peers: on free ports, in a temporary folder, ended with the run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

from ..processes import AnsweringProcess
from .environments import interpreter

_START_SECONDS = 20.0
_INSTALL_SECONDS = 240.0


def ensure_redis() -> None:
    """Install Debian's redis-server where it is missing and we may. Blocks.

    Raises ``RuntimeError`` with a sentence when it cannot be had.
    """
    if shutil.which("redis-server"):
        return
    if not shutil.which("apt-get"):
        raise RuntimeError("redis-server is not installed; install it to run the peers that need Redis")
    prefix = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    # RUNLEVEL keeps the package from starting a server of its own.
    variables = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    apt = [*prefix, *variables, "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    for step in (["update"], ["install", "--yes", "--no-install-recommends", "redis-server"]):
        try:
            subprocess.run([*apt, *step], check=True, capture_output=True, timeout=_INSTALL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            raise RuntimeError(
                "redis-server is not installed, and apt-get could not install it (that takes root): "
                f"{error}. Install it to run the peers that need Redis"
            ) from None


class Redis:
    """A redis-server with the settings that its documentation advises for durability."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, version: str) -> None:
        self._process = process
        self.url = url
        self.version = version

    @classmethod
    async def start(cls, folder: Path) -> Redis:
        folder.mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with (folder / "redis.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        async with asyncio.timeout(_START_SECONDS):
            while not await _answers(port):
                await asyncio.sleep(0.05)
        return cls(process, f"redis://127.0.0.1:{port}", await _version())

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


async def _version() -> str:
    asking = await asyncio.create_subprocess_exec("redis-server", "--version", stdout=asyncio.subprocess.PIPE)
    return (await asking.communicate())[0].decode().partition("v=")[2].split()[0]


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"PING\r\n")
    answer = await reader.readline()
    writer.close()
    return answer.startswith(b"+PONG")


async def start_postgres(folder: Path) -> AnsweringProcess:
    """PostgreSQL as its wheel sets it up: fsync and synchronous_commit are on."""
    folder.mkdir(parents=True)
    log = folder.parent / "postgres.log"
    arguments: list[str | Path] = [
        interpreter("procrastinate"),
        "-m",
        "benchmarks.peers.postgres",
        str(folder),
    ]
    return await AnsweringProcess.start(arguments, log)
