"""This package over PostgreSQL as the benchmark uses it: a host that only serves, workers, a database.

What the server spends is `Spending`. What is measured with all of it is left to ``sections.cluster``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, Self

import psutil
import psycopg

from aiohttp_jobs.assembly import database

from .bench import PARALLEL, Bench
from .ours import API, HostProcess, process_seconds
from .wire import share

_LOOK_SECONDS = 0.005
_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0
_LEFT = "SELECT count(*) FROM aiohttp_jobs.jobs"
_LIVING = "SELECT count(*) FROM aiohttp_jobs.processes WHERE kind = 'worker'"
_SPENT = """
SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
    coalesce((SELECT sum(calls) FROM pg_stat_user_functions WHERE funcname = 'claim_4'), 0),
    pg_current_wal_lsn() - '0/0'
"""

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


def with_database(uri: str, name: str) -> str:
    """A new database on the server of `uri`, with nothing in it; its dsn. Blocks."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return uri.replace("/postgres?", f"/{name}?")


@dataclass(slots=True)
class Spending:
    """What a server has spent so far: seconds of the processor, and by one database, all others' beside it.

    Counts of a session are told by it within ten seconds.
    """

    seconds: float
    transactions: int
    claims: int
    written: int
    """Bytes of its log."""

    @classmethod
    async def of(cls, connection: Connection) -> Self:
        found = await (await connection.execute(_SPENT)).fetchone()
        assert found is not None
        return cls(_server_seconds(connection), *map(int, found))

    def __sub__(self, before: Spending) -> Spending:
        return Spending(
            self.seconds - before.seconds,
            self.transactions - before.transactions,
            self.claims - before.claims,
            self.written - before.written,
        )


def _server_seconds(connection: Connection) -> float:
    """What all processes of the server have used that are there."""
    server = psutil.Process(connection.info.backend_pid).parent()
    assert server is not None
    return sum(process_seconds(each.pid) for each in (server, *server.children()) if each.is_running())


@dataclass(slots=True)
class Cluster:
    """A host, and workers, on the database `dsn`. `connection` is the benchmark's own to it."""

    dsn: str
    host: HostProcess
    connection: Connection
    folder: Path
    environment: dict[str, str]
    _workers: list[asyncio.subprocess.Process] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def on(cls, bench: Bench, dsn: str) -> AsyncIterator[Cluster]:
        await asyncio.to_thread(database.upgrade, dsn)
        secret = secrets.token_hex(32)
        settings: dict[str, Any] = {"engine": "postgres", "dsn": dsn, "secret": secret, "runs_jobs": False}
        environment = {"AIOHTTP_JOBS_DSN": dsn, "AIOHTTP_JOBS_SECRET": secret}
        async with (
            await Connection.connect(dsn, autocommit=True) as connection,
            bench.host("cluster-host", **settings) as host,
        ):
            cluster = cls(dsn, host, connection, bench.folder("cluster-workers"), environment)
            try:
                yield cluster
            finally:
                await cluster.workers(0)

    async def workers(self, count: int) -> list[int]:
        """Start or end some, so that there are `count`, each with as many places as a peer's. Their ids."""
        while len(self._workers) > count:
            await _end(self._workers.pop())
        while len(self._workers) < count:
            self._workers.append(await self._start(len(self._workers)))
        async with asyncio.timeout(_READY_SECONDS):
            while await self._number(_LIVING) != count:
                await asyncio.sleep(_LOOK_SECONDS)
        return [worker.pid for worker in self._workers]

    async def _start(self, number: int) -> asyncio.subprocess.Process:
        folder = self.folder / str(number)
        folder.mkdir(mode=0o700, exist_ok=True)
        options = ("--name", f"worker-{number}", "--concurrency", f"background={PARALLEL}")
        with (self.folder / f"{number}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "aiohttp_jobs", "worker", "--data-dir", folder, *options),
                env={**os.environ, **self.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def fill(self, job: dict[str, Any], count: int) -> None:
        """Have so many jobs accepted, and none of them started."""
        await self.host.connection.json("POST", f"{API}/queue/pause")
        await self._submit(job, count)

    async def drain(self) -> float:
        """Seconds from when jobs may start until all have their results."""
        clock = asyncio.get_running_loop().time
        started = clock()
        await self.host.connection.json("POST", f"{API}/queue/resume")
        await self._until_done()
        return clock() - started

    async def run(self, job: dict[str, Any], count: int) -> float:
        """Seconds from the first of so many submissions, some at once, until all have their results."""
        clock = asyncio.get_running_loop().time
        started = clock()
        await self._submit(job, count)
        await self._until_done()
        return clock() - started

    async def _submit(self, job: dict[str, Any], count: int) -> None:
        connections = await self.host.connections(16)
        await share(connections, count, lambda connection: self.host.submit(job, connection))
        for connection in connections:
            await connection.close()

    async def _until_done(self) -> None:
        # A job's row goes in the transaction that keeps its result. A peer is asked in the same way.
        while await self._number(_LEFT):
            await asyncio.sleep(_LOOK_SECONDS)

    async def _number(self, query: LiteralString) -> int:
        return await number(self.connection, query)


async def number(connection: Connection, query: LiteralString) -> int:
    """The only value that it finds."""
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return int(row[0])


async def _end(worker: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        worker.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(worker.wait(), _STOP_SECONDS)
    except TimeoutError:
        worker.kill()
        await worker.wait()


def with_children(pids: Sequence[int]) -> list[int]:
    """These processes, and those that they have started and that are there."""
    return [
        each.pid
        for pid in pids
        for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
    ]
