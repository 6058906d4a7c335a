"""Jobs over PostgreSQL: many workers beside plain procrastinate, claims among many jobs, idle workers."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from aiohttp_jobs.assembly import database

from ..bench import PARALLEL, Bench
from ..cluster import Cluster, Connection, Spending, number, with_children, with_database
from ..floors import spawn_one_by_one
from ..ours import COMMAND, process_seconds, submit_and_wait
from ..peers.environments import ensure
from ..peers.launch import procrastinate_on
from ..peers.process import Peer
from ..peers.servers import start_postgres
from ..tables import Kind, Table, percentile

PEER, OURS, OVER_HTTP = (
    "plain procrastinate",
    "aiohttp-jobs, accepted before",
    "aiohttp-jobs, sent within the time",
)
_WORKERS = (1, 2, 4)
_ENOUGH, _FLAT = 0.8, 1.5
_TOLD_SECONDS = 10.5
"""What a session has done is in the server's statistics after so long at the latest."""
_SETTLE_SECONDS = 3.0
_OUR_RESULTS: LiteralString = "SELECT count(*) FROM aiohttp_jobs.ended_jobs"
_THEIR_RESULTS: LiteralString = "SELECT count(*) FROM bench_results"
_FILL = """
INSERT INTO aiohttp_jobs.jobs (job_id, state, user_id, job_name, slot, priority, size, attempt,
    submission, queued_at)
SELECT gen_random_uuid(), 'queued', 'user' || i %% %(users)s, 'name', 'BackgroundJob', 5, 10, 1,
    json_build_object('Command', repeat('x', 600)), clock_timestamp()
FROM generate_series(1, %(count)s) i
"""
_CLAIM = """
SELECT taken_id FROM aiohttp_jobs.claim_4(
    %s, %s, jsonb_build_object('BackgroundJob', %s::int), '{}', NULL, NULL, 600, 30, NULL)
WHERE taken_id IS NOT NULL
"""


async def measure(bench: Bench) -> list[Table]:
    await asyncio.to_thread(ensure, "procrastinate")
    folder = bench.folder("cluster")
    for parent in (bench.work, folder):
        parent.chmod(0o755)  # when we are root, PostgreSQL runs as another user
    server = await start_postgres(folder / "postgres")
    uri = server.hello["uri"]
    try:
        ours = await asyncio.to_thread(with_database, uri, "ours")
        theirs = await asyncio.to_thread(with_database, uri, "theirs")
        async with procrastinate_on(bench, theirs) as peer, Cluster.on(bench, ours) as cluster:
            if peer is None:
                raise RuntimeError("procrastinate did not start")
            bench.versions["procrastinate beside workers"] = (
                f"({peer.version}), PostgreSQL {server.hello['version']}"
            )
            async with await Connection.connect(theirs, autocommit=True) as beside:
                sides = _Sides(bench, cluster, peer, beside)
                tables = [await sides.throughput(count) for count in _WORKERS]
                tables.append(await sides.latency())
                tables += await sides.idle()
        return [*tables, await _claims(bench, uri)]
    finally:
        await server.stop()


@dataclass(slots=True)
class _Sides:
    """Both, on one server, in databases of their own. The peer is frozen but when it is measured."""

    bench: Bench
    cluster: Cluster
    peer: Peer
    beside: Connection
    """To the peer's database."""

    async def _workers(self, count: int) -> dict[str, list[int]]:
        self.peer.process.thaw()
        pids = {PEER: await self.peer.workers(count), OURS: await self.cluster.workers(count)}
        # All of them are up when they have had more jobs than one of them takes.
        await self.peer.many("command", 2 * count * PARALLEL)
        await self.cluster.run(COMMAND, 2 * count * PARALLEL)
        self.peer.process.freeze()
        return pids

    async def throughput(self, count: int) -> Table:
        jobs = self.bench.size(250, 100)
        table = Table(
            f"cluster-{count}",
            f"Over PostgreSQL with {count} worker{'s' * (count > 1)}: {jobs} × /bin/true",
            f"Jobs per second, {PARALLEL} at a time in each worker, all on this machine, until the last "
            "result is in its table. The yardstick is procrastinate, which is given all jobs in one "
            "statement, and whose task runs the command by `asyncio.create_subprocess_exec` and writes what "
            "it prints into a table of results. Of aiohttp-jobs the jobs are accepted before the clock "
            "starts; below it, they are sent to a host over HTTP one by one, and each is answered when it "
            "is on the disk. One server, one database each.",
            "jobs/s",
            more_is_better=True,
            sort=False,
        )
        pids = await self._workers(count)
        spent = {PEER: _Spent(), OURS: _Spent(), OVER_HTTP: _Spent()}
        asked = {
            PEER: _Asked(self.beside, _THEIR_RESULTS),
            OURS: _Asked(self.cluster.connection, _OUR_RESULTS),
        }
        for each in asked.values():
            await each.begin()
        for _ in range(min(self.bench.rounds, 3)):
            async with self.peer.awake(), spent[PEER].during(self.beside, pids[PEER], jobs):
                table.note(PEER, Kind.FLOOR, jobs / await self.peer.many("command", jobs))
            await self.cluster.fill(COMMAND, jobs)
            async with spent[OURS].during(self.cluster.connection, pids[OURS], jobs):
                table.note(OURS, Kind.OURS, jobs / await self.cluster.drain())
            async with spent[OVER_HTTP].during(self.cluster.connection, pids[OURS], jobs):
                table.note(OVER_HTTP, Kind.OTHER, jobs / await self.cluster.run(COMMAND, jobs))
        await asyncio.sleep(_TOLD_SECONDS)
        table.notes += [f"{name}: {each.described()}" for name, each in spent.items()]
        table.notes += [f"{name}, all jobs: {await each.described()}" for name, each in asked.items()]
        ratio = table.ratio(table.contender(OURS, Kind.OURS)).median
        table.ask(f"at least {_ENOUGH} of plain procrastinate", f"{ratio:.2f}", ratio >= _ENOUGH)
        return table

    async def latency(self) -> Table:
        count = self.bench.size(60, 15)
        table = Table(
            "cluster-latency",
            "Over PostgreSQL: submit to result, one at a time",
            f"Milliseconds, medians of {count} a round, one worker: `POST /jobs/submit?wait=60` to a host "
            "that only serves. The yardstick is procrastinate, which is given a job, and asked every 2 ms "
            "whether it is done.",
            "ms",
            more_is_better=False,
            sort=False,
        )
        await self._workers(1)
        (connection,) = await self.cluster.host.connections(1)
        tails: list[float] = []
        for _ in range(min(self.bench.rounds, 3)):
            async with self.peer.awake():
                table.note(PEER, Kind.FLOOR, _median(await self.peer.one_by_one("command", count)))
            seconds = [await submit_and_wait(connection, COMMAND) for _ in range(count)]
            tails.append(percentile(seconds, 0.99) * 1000)
            table.note("aiohttp-jobs, over HTTP", Kind.OURS, _median(seconds))
            table.note("a bare spawn", Kind.OTHER, _median(await spawn_one_by_one(count)))
        await connection.close()
        table.notes.append(f"The slowest of a hundred of aiohttp-jobs: {statistics.median(tails):.1f} ms.")
        ratio = table.ratio(table.contenders[1]).median
        table.ask("at most procrastinate's", f"{ratio:.2f} times", ratio <= 1)
        return table

    async def idle(self) -> list[Table]:
        """Of one worker each, with nothing to do, and, of ours, without the host."""
        seconds = self.bench.size(30, 12)
        how = f"One worker each with nothing to do, for {seconds} s, both at the same time. "
        asked = Table(
            "cluster-idle-statements",
            "An idle worker over PostgreSQL: transactions",
            how
            + "Of its database (`pg_stat_database`): each statement is one, and each look at a connection.",
            "a minute",
            more_is_better=False,
        )
        used = Table(
            "cluster-idle-cpu",
            "An idle worker over PostgreSQL: processor time",
            how + "Percent of a core: its process, and those that it has started.",
            "% of a core",
            more_is_better=False,
        )
        pids = await self._workers(1)
        self.peer.process.thaw()
        await self.cluster.host.stop()
        await asyncio.sleep(_TOLD_SECONDS)
        sides = {PEER: self.beside, OURS: self.cluster.connection}
        watched = {name: with_children(each) for name, each in pids.items()}
        before = {name: await _idle(each, watched[name]) for name, each in sides.items()}
        await asyncio.sleep(seconds)
        for name, connection in sides.items():
            transactions, processor = await _idle(connection, watched[name])
            kind = Kind.FLOOR if name == PEER else Kind.OURS
            label = PEER if name == PEER else "aiohttp-jobs worker"
            asked.note(label, kind, (transactions - before[name][0]) * 60 / seconds)
            used.note(label, kind, (processor - before[name][1]) * 100 / seconds)
        for table in (asked, used):
            ratio = table.ratio(table.contenders[1]).median
            table.ask("at most procrastinate's", f"{ratio:.2f} times", ratio <= 1)
        return [asked, used]


class _Spent:
    """What the jobs of some rounds have cost the server and the workers, without what those started."""

    def __init__(self) -> None:
        self._server = self._workers = 0.0
        self._written = self._jobs = 0

    @asynccontextmanager
    async def during(self, connection: Connection, workers: Sequence[int], jobs: int) -> AsyncIterator[None]:
        """The block runs so many jobs."""
        before, used = await Spending.of(connection), sum(map(process_seconds, workers))
        yield
        spent = await Spending.of(connection) - before
        self._workers += sum(map(process_seconds, workers)) - used
        self._server += spent.seconds
        self._written += spent.written
        self._jobs += jobs

    def described(self) -> str:
        server, workers = (1000 * each / self._jobs for each in (self._server, self._workers))
        return (
            f"{server:.2f} ms of the processor in PostgreSQL and {workers:.2f} ms in the workers' own "
            f"processes for each job, {self._written / self._jobs / 1000:.1f} KB of PostgreSQL's log."
        )


@dataclass(slots=True)
class _Asked:
    """How often a database is asked for a job; `results` counts those that have ended."""

    connection: Connection
    results: LiteralString
    _before: Spending | None = None
    _results: int = 0

    async def begin(self) -> None:
        self._before = await Spending.of(self.connection)
        self._results = await number(self.connection, self.results)

    async def described(self) -> str:
        assert self._before is not None
        jobs = await number(self.connection, self.results) - self._results
        spent = await Spending.of(self.connection) - self._before
        claims = f", {spent.claims / jobs:.2f} of them claims" if spent.claims else ""
        return f"{spent.transactions / jobs:.1f} transactions for each{claims}."


async def _idle(connection: Connection, pids: Sequence[int]) -> tuple[int, float]:
    return (await Spending.of(connection)).transactions, sum(map(process_seconds, pids))


def _median(seconds: Sequence[float]) -> float:
    return statistics.median(seconds) * 1000


async def _claims(bench: Bench, uri: str) -> Table:
    """Each number of waiting jobs in a database of its own; all are asked in turn."""
    most = bench.size(100_000, 10_000)
    sizes = {"10 wait": (10, 1), "1,000 wait": (1000, 1), f"{most:,} wait": (most, 1)}
    sizes[f"{most:,} wait, of 1,000 users"] = (most, 1000)
    return await asyncio.to_thread(_claims_of, bench, uri, sizes)


def _claims_of(bench: Bench, uri: str, sizes: dict[str, tuple[int, int]]) -> Table:
    times = bench.size(20, 8)
    table = Table(
        "cluster-claims",
        "Over PostgreSQL: a claim while others wait",
        f"Milliseconds, medians of {times} a round: the statement by which a worker takes the next job, "
        "durably, while as many wait as the row says, all of one user but in the last row. What is taken is "
        "put back as another job.",
        "ms",
        more_is_better=False,
        sort=False,
    )
    eight = dict.fromkeys(sizes, 0.0)
    connections = []
    for place, (count, users) in enumerate(sizes.values()):
        dsn = with_database(uri, f"claims_{place}")
        database.upgrade(dsn)
        connections.append(psycopg.connect(dsn, autocommit=True))
        connections[-1].execute(_FILL, {"count": count, "users": users})
    try:
        for _ in range(min(bench.rounds, 3)):
            for (name, (_, users)), connection in zip(sizes.items(), connections, strict=True):
                kind = Kind.OURS if table.contenders else Kind.FLOOR
                kind = Kind.OTHER if users > 1 else table.contender(name, kind).kind
                table.note(name, kind, _median([_claim(connection, 1, users) for _ in range(times)]))
                eight[name] = _median([_claim(connection, PARALLEL, users) for _ in range(times // 2)])
    finally:
        for connection in connections:
            connection.close()
    table.notes.append(
        f"Of {PARALLEL} jobs by one statement, in ms: "
        + "; ".join(f"{name} {taken:.2f}" for name, taken in eight.items())
        + "."
    )
    for many in table.contenders[2:]:
        ratio = table.ratio(many).median
        table.ask(f"flat (at most {_FLAT} times at {many.name})", f"{ratio:.2f}", ratio <= _FLAT)
    return table


def _claim(connection: psycopg.Connection[tuple[object, ...]], places: int, users: int) -> float:
    """Seconds that it takes; afterwards as many wait as before."""
    started = time.perf_counter()
    found = connection.execute(_CLAIM, (uuid.UUID(int=1), uuid.uuid4(), places)).fetchall()
    seconds = time.perf_counter() - started
    connection.execute("DELETE FROM aiohttp_jobs.jobs WHERE job_id = ANY(%s)", ([row[0] for row in found],))
    connection.execute(_FILL, {"count": len(found), "users": users})
    return seconds
