"""Running ``aiohttp-jobs`` as people do: a process of its own, with a key in its environment."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

from ..conftest import Host
from ..gate import PATIENCE_SECONDS, until
from ..prefork import captured, command_for
from ..processes import printed_by

_READ_AT_IMPORT = {"SSL_CERT_FILE"}
"""Variables that say nothing any more to a program whose imports are done: aiohttp makes its context then."""


async def start(
    *arguments: str, env: dict[str, str], forked: bool = False, **streams: Any
) -> asyncio.subprocess.Process:
    """``aiohttp-jobs`` with these arguments, in a Python of its own; or `forked`, for a tenth of that, where
    no signal is sent, as it would come to the process that asks for it."""
    pipes = {"stdin": -1, "stdout": -1, "stderr": -1, **streams}
    return await asyncio.create_subprocess_exec(
        *(command_for("aiohttp_jobs.cli") if forked else (sys.executable, "-m", "aiohttp_jobs.cli")),
        *arguments,
        env={**os.environ, "COLUMNS": "200", **env},
        **pipes,
    )


async def run(*arguments: str, env: dict[str, str], stdin: str = "") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``aiohttp-jobs`` with these arguments, forked where that can be."""
    if not _READ_AT_IMPORT.isdisjoint(env):
        process = await start(*arguments, env=env)
        printed, told = await printed_by(process, stdin.encode())
        return process.returncode or 0, printed.decode(), told.decode()
    everything = {**os.environ, "COLUMNS": "200", **env}
    with captured("aiohttp_jobs.cli", arguments, everything, stdin) as (program, done):
        code = await program.ended(PATIENCE_SECONDS)
        return code, done().stdout, done().stderr


def access_to(host: Host, *roles: str) -> dict[str, str]:
    """The environment of somebody with a key."""
    key = ApiKeys.in_data_dir(host.config.data_dir).create(name="n", user_id="alice", roles=roles)[1]
    url = host.address + host.config.prefix
    return {"AIOHTTP_JOBS_URL": url, "AIOHTTP_JOBS_API_KEY": key}


class Terminal:
    """A terminal with nobody at it but the test. `theirs` is what a process gets."""

    def __init__(self) -> None:
        self._mine, self.theirs = pty.openpty()
        os.set_blocking(self._mine, False)
        self.shown = b""

    async def shows(self, text: str) -> None:
        """Wait until `text` has been shown."""
        await until(lambda: text.encode() in self.read(), f"showing {text!r}")

    async def hides_what_is_typed(self) -> None:
        await until(lambda: not termios.tcgetattr(self._mine)[3] & termios.ECHO, "hiding what is typed")

    def type(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def close(self) -> None:
        os.close(self._mine)
        os.close(self.theirs)

    def read(self) -> bytes:
        """All that has been shown so far."""
        with suppress(BlockingIOError):
            self.shown += os.read(self._mine, 65536)
        return self.shown


@contextmanager
def opened_terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.close()
