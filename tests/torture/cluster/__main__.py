"""python -m tests.torture.cluster [--short] [--seed N]: see docs/explanation/durability.md."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from aiohttp_jobs.client import JobsClient

from ...engine.postgres.support import installation
from ...postgres import PostgresServer, new_server
from ...tcp_proxy import TcpProxy
from ..ledger import Fate, Ledger
from .judge import FAULTS, Judge
from .load import ClusterLoad
from .machines import STALL_SECONDS, Machine

_NAMES = ("host 1", "host 2", "worker 1", "worker 2", "worker 3", "worker 4")
_PATIENCE_SECONDS = 45.0
"""Longer than the stall time, and than PostgreSQL takes to be back."""
Move = tuple[str, Callable[[], Awaitable[None]]]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.cluster", description=__doc__)
    parser.add_argument("--short", action="store_true", help="some 40 seconds, for every change")
    parser.add_argument("--seed", type=int, help="decides what happens; it is printed")
    parser.add_argument("--jobs", type=int, default=10_000, help="so many at most")
    parser.add_argument("--seconds", type=float, help="do harm for so long (420; short: 12)")
    return parser.parse_args()


class Cluster:
    """Two hosts and four workers on one PostgreSQL, in `folder`; `chance` decides what is done to whom."""

    def __init__(self, folder: Path, server: PostgresServer, chance: random.Random) -> None:
        self.folder = folder
        self.server = server
        self.chance = chance
        self.dsn = server.dsn(server.create_upgraded())
        self.done: Counter[str] = Counter()
        self.notes: list[str] = []
        self.machines: list[Machine] = []
        self._began = time.monotonic()

    async def open(self, stack: AsyncExitStack) -> None:
        address = self.dsn.partition("?")[0]
        for name in _NAMES:
            proxy = await stack.enter_async_context(TcpProxy(self.server.socket))
            machine = Machine(name, self.folder, address, proxy)
            stack.push_async_callback(machine.abandon)
            self.machines.append(machine)
        await asyncio.gather(*(machine.start() for machine in self.machines))

    async def clients(self, stack: AsyncExitStack) -> list[JobsClient]:
        """Of the hosts."""
        beside = installation(self.dsn)
        await asyncio.to_thread(beside.open)
        _, key = beside.api_keys.create(name="torture", user_id="alice", roles=("site_admin",))
        await asyncio.to_thread(beside.close)
        urls = [machine.url for machine in self.machines[:2]]
        return [await stack.enter_async_context(JobsClient(url, key, timeout=20.0)) for url in urls]

    async def torture(self, seconds: float) -> None:
        """One thing after the other to the machines, and now and then one to PostgreSQL."""
        end = time.monotonic() + seconds
        await asyncio.gather(self._go_on(self._to_machines, end, 1.0), self._go_on(self._to_server, end, 8.0))

    async def _go_on(self, moves: Callable[[], list[Move]], end: float, pause: float) -> None:
        while time.monotonic() < end:
            chosen = moves()
            self.chance.shuffle(chosen)  # each is done before any is done again
            for name, move in chosen:
                await asyncio.sleep(pause * self.chance.uniform(0.5, 1.5))
                if time.monotonic() > end:
                    return
                self.notes.append(f"{time.monotonic() - self._began:6.1f} s  {name}")
                self.done[name.partition(":")[0]] += 1
                await move()

    def _to_machines(self) -> list[Move]:
        short, long = 0.4 * STALL_SECONDS, 1.4 * STALL_SECONDS
        moves: list[Move] = []
        for machine in self.machines:
            name = machine.name
            moves.append((f"killed: {name}", machine.kill))
            seconds = self.chance.choice((short, long))
            moves.append((f"stopped: {name} for {seconds:.1f} s", lambda m=machine, s=seconds: m.stop_for(s)))  # type: ignore[misc]
            seconds = self.chance.choice((short, long))
            moves.append(
                (f"cut off: {name} for {seconds:.1f} s", lambda m=machine, s=seconds: m.cut_off_for(s))
            )  # type: ignore[misc]
        return moves

    def _to_server(self) -> list[Move]:
        return [
            ("PostgreSQL killed:", lambda: self._server_away(signal.SIGQUIT, 0.0)),
            ("PostgreSQL away: 3 s", lambda: self._server_away(signal.SIGINT, 3.0)),
            ("PostgreSQL away: longer than the stall time", lambda: self._server_away(signal.SIGINT, 8.0)),
            ("connections lost:", self._lose_connections),
        ]

    async def _server_away(self, end: signal.Signals, seconds: float) -> None:
        await asyncio.to_thread(self.server.stop, end)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.server.start)

    async def _lose_connections(self) -> None:
        for machine in self.machines:
            machine.proxy.drop()


async def run(options: argparse.Namespace, seed: int, folder: Path, server: PostgresServer) -> bool:
    """Whether nothing was wrong; prints the table."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        cluster = Cluster(folder, server, random.Random(seed))
        await cluster.open(stack)
        ledger = Ledger(folder / "ran")
        load = ClusterLoad(
            ledger, await cluster.clients(stack), random.Random(seed + 1), options.jobs, folder
        )
        # Workers end some forty a second: the short form waits for no more than they can have ended.
        submitting = asyncio.create_task(load.submit_all(pause=0.05 if options.short else 0.0))
        try:
            await cluster.torture(options.seconds or (12.0 if options.short else 420.0))
        finally:
            load.is_over.set()
            await submitting
        judge = Judge(cluster.dsn, ledger, load)
        await judge.quiet(_PATIENCE_SECONDS)
        await judge.judge(cluster.machines)
        codes = await asyncio.gather(*(machine.end() for machine in cluster.machines))
    judge.findings += [
        ("other faults", f"a normal shutdown ended with code {code}") for code in codes if code
    ]
    accepted = sum(job.fate is Fate.ACCEPTED for job in ledger.jobs.values())
    print(table(judge, accepted, len(load.watchers), cluster.done))
    print(f"\nended: {dict(judge.statuses)}; refused: {dict(load.refused)}; {time.monotonic() - began:.0f} s")
    for fault, sentence in judge.findings[:40]:
        print(f"{fault}: {sentence}")
    if judge.findings:
        print("\n".join(cluster.notes))
    return not judge.findings and accepted > 0


def table(judge: Judge, accepted: int, watchers: int, done: Counter[str]) -> str:
    """In Markdown."""
    wrong = Counter(fault for fault, _ in judge.findings)
    cells = {"accepted": accepted, "watchers": watchers, **dict(sorted(done.items()))}
    cells |= {fault: wrong[fault] for fault in FAULTS}
    rows = (list(cells), ["---:"] * len(cells), [str(count) for count in cells.values()])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


async def main() -> int:
    options = parsed()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    server = await asyncio.to_thread(new_server, synchronous_commit="on", fsync="off")
    folder = Path(tempfile.mkdtemp(prefix="aiohttp-jobs-torture-cluster-"))
    (folder / "locks").mkdir()
    is_good = False
    try:
        is_good = await run(options, seed, folder, server)
    finally:
        await asyncio.to_thread(server.close)
        if is_good:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"files: {folder}; again: make torture-cluster ARGS='--seed {seed}'")
    return 0 if is_good else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
    sys.exit(130)
