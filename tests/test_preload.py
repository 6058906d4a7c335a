"""The application is made in one process and served in others: import, fork, and gunicorn --preload."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientError, ClientSession

from .conftest import API, Caller
from .gate import PATIENCE_SECONDS, until
from .hosts.process import new_key

ROOT = Path(__file__).parent.parent
SERVER = [sys.executable, "-m", "gunicorn", "tests.hosts.preloaded:app", "--preload", "--workers", "2"]
SERVER += ["--worker-class", "aiohttp.worker.GunicornWebWorker", "--bind", "127.0.0.1:0"]
SERVER += ["--graceful-timeout", "5"]


def environment(data_dir: Path) -> dict[str, str]:
    settings = {"DATA_DIR": str(data_dir), "POLL_INTERVAL": "0.2", "SHUTDOWN_GRACE": "0.5"}
    settings |= {"MAX_PARALLEL_RUNSPACE": "1"}
    return {**os.environ, **{f"AIOHTTP_JOBS_{name}": value for name, value in settings.items()}}


class Gunicorn:
    """A master with two workers, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process, data_dir: Path) -> None:
        self.process = process
        self.running = data_dir / "apps" / "WebHostTaskManagement" / "Running"
        self.said = ""
        self.address = ""

    async def read(self) -> None:
        assert self.process.stderr is not None
        while line := (await self.process.stderr.readline()).decode():
            self.said += line
            if found := re.search(r"Listening at: (http://\S+)", line):
                self.address = found[1]

    def instances(self) -> set[str]:
        """The ids of the processes that have started on the data folder and still run."""
        folders = self.running.iterdir() if self.running.exists() else ()
        return {folder.name for folder in folders if not folder.name.startswith(".")}

    async def has_workers(self, *, other_than: frozenset[str] = frozenset()) -> frozenset[str]:
        def both() -> bool:
            assert self.process.returncode is None, self.said
            found = self.instances()
            return len(found) == 2 and not found & other_than

        await until(both, "two workers starting")
        return frozenset(self.instances())


@asynccontextmanager
async def gunicorn(data_dir: Path) -> AsyncIterator[Gunicorn]:
    process = await asyncio.create_subprocess_exec(
        *SERVER, cwd=ROOT, env=environment(data_dir), stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    server = Gunicorn(process, data_dir)
    reading = asyncio.create_task(server.read())
    try:
        yield server
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
        assert not server.instances(), "a worker left its folder behind"
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await reading


async def instances_of_jobs(caller: Caller, wanted: int) -> set[str]:
    """Where jobs ran, once `wanted` processes have run some."""
    found: set[str] = set()
    for _ in range(200):
        result = await caller.run('echo "$AIOHTTP_JOBS_INSTANCE"')
        assert result["Status"] == "Succeeded", result
        found.add(result["Output"].strip())
        if len(found) >= wanted:
            break
    return found


async def test_gunicorn_preload_boots_serves_jobs_and_survives_hup(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    async with gunicorn(tmp_path) as server:
        first = await server.has_workers()
        await until(lambda: server.address, "gunicorn listening")
        headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
        async with ClientSession(headers=headers) as session:
            caller = Caller(server.address + API, session, "alice")
            await answers(caller)
            assert await instances_of_jobs(caller, 2) == first
            server.process.send_signal(signal.SIGHUP)
            second = await server.has_workers(other_than=first)
            await answers(caller)
            assert await instances_of_jobs(caller, 2) == second


async def answers(caller: Caller) -> None:
    """Wait until the server does: workers start after the master has said that it listens."""
    for _ in range(2400):
        try:
            if (await caller.request("GET", "/me")).status == 200:
                return
        except ClientError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError("the server does not answer")


async def test_importing_the_hosts_module_writes_no_file(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import tests.hosts.preloaded", cwd=ROOT, env=environment(data_dir)
    )
    assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    assert list(data_dir.iterdir()) == []
