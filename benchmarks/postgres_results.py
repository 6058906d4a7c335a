"""What pages and searches of results cost in PostgreSQL where there are many: several databases, in turn.

    python -m benchmarks.postgres_results --dsn postgresql://… [--sizes 10000,10000000] [--rounds 5] [--keep]

Run it on the server's machine, where the processor time of the server can be read. The role of the `dsn` has
to be allowed to make databases. They are dropped at the end unless they are kept, and asked again where they
were. Ten million results take 20 GB, and half an hour to make on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo

from aiohttp_jobs.engine.base import ResultRepository
from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase, one
from aiohttp_jobs.engine.postgres.results import PostgresResults
from aiohttp_jobs.model.job import utc_now
from aiohttp_jobs.model.results import ResultFilter, Sort
from aiohttp_jobs.model.search import parse_search

from .many_results import ANOTHERS, OWN, build

PAGE = 50

Ask = Callable[[ResultRepository], Awaitable[Any]]


class Cost(NamedTuple):
    """Of one answer, in milliseconds: on the clock, and of the processor of server and of this program."""

    clock: float
    server: float
    client: float

    @property
    def processor(self) -> float:
        return self.server + self.client


def questions() -> dict[str, Ask]:
    """What is asked, by what people see of it."""
    now = utc_now()

    def page(q: str = "", user: str | None = OWN, sort: Sort = Sort.COMPLETED_DOWN, **more: Any) -> Ask:
        wanted = ResultFilter(user, terms=parse_search(q) if q else (), **more)
        return lambda results: results.page(wanted, sort, None, PAGE)

    def ago(days: int) -> dict[str, Any]:
        return {"since": now - timedelta(days=days), "until": now - timedelta(days=days - 10)}

    pages = {
        "own": page(),
        "own, later pages": _following(OWN, 4),
        "another's": page(user=ANOTHERS),
        "everybody's": page(user=None),
        "own by runtime": page(sort=Sort.RUNTIME_DOWN),
        "own failures": page(success=False),
        "everybody's failures": page(user=None, success=False),
        "everybody's, cancelled (3 %)": page(user=None, statuses=("Cancelled",)),
        "everybody's, interrupted (0.05 %)": page(user=None, statuses=("Interrupted",)),
        "own, interrupted (0.05 %)": page(statuses=("Interrupted",)),
        "own, Runspace (30 %)": page(modes=("Runspace",)),
        "everybody's, MainLoop (0.05 %)": page(user=None, modes=("MainLoop",)),
        "own, MainLoop (0.05 %)": page(modes=("MainLoop",)),
        "own, interrupted, MainLoop (none)": page(statuses=("Interrupted",), modes=("MainLoop",)),
        "own, of ten days": page(**ago(200)),
        "everybody's, of ten days": page(user=None, **ago(200)),
        "own, of a name": page(name="job 13"),
    }
    searches = {
        "a common word": page("common"),
        "everybody's, a common word": page("common", None),
        "two words": page("common often"),
        "everybody's, two words": page("seldom often", None),
        "everybody's, a phrase": page('"common often"', None),
        "everybody's, in one of 100": page("seldom", None),
        "everybody's, in one of 1,000": page("hardly", None),
        "in one of 1,000": page("hardly"),
        "everybody's, in one of 15,000": page("seldom 备份成功", None),
        "in one of 3,000": page("hardly often"),
        "own, in one of 1,000, failures": page("hardly", success=False),
        "ten hits": page("mine"),
        "everybody's, ten hits": page("rare", None),
        "everybody's, ten hits and a common word": page("rare common", None),
        "everybody's, ten hits, failures": page("rare", None, success=False),
        "everybody's, ten hits, the oldest first": page("rare", None, Sort.COMPLETED),
        "everybody's, ten hits, by runtime": page("rare", None, Sort.RUNTIME_DOWN),
        "everybody's, ten hits, of ten days": page("rare", None, **ago(200)),
        "none": page("nowhere"),
        "everybody's, none": page("nowhere", None),
        "everybody's, a part of Chinese (0.7 %)": page("数据库", None),
        "everybody's, a part of Chinese, ten hits": page("磁盘", None),
        "everybody's, a beginning (1 %)": page("seld*", None),
    }
    return {f"page: {name}": ask for name, ask in pages.items()} | {
        f"search: {name}": ask for name, ask in searches.items()
    }


def _following(user: str, pages: int) -> Ask:
    async def ask(results: ResultRepository) -> None:
        cursor = None
        for _ in range(pages):
            cursor = (await results.page(ResultFilter(user), Sort.COMPLETED_DOWN, cursor, PAGE)).cursor

    return ask


class Asked:
    """The results of one database, and the process of the server that answers for them."""

    def __init__(self, dsn: str) -> None:
        self._database = AsyncDatabase(dsn, most=1)
        self._results = PostgresResults(self._database, search_bytes=65536)

    async def open(self) -> None:
        await self._database.open()
        self._server = Path(f"/proc/{one(await self._database.row('SELECT pg_backend_pid()'))}/schedstat")

    async def close(self) -> None:
        await self._database.close()

    async def cost(self, ask: Ask) -> Cost:
        before, started, spent = self._spent(), time.perf_counter(), time.process_time()
        await ask(self._results)
        clock, client = time.perf_counter() - started, time.process_time() - spent
        return Cost(1e3 * clock, 1e3 * (self._spent() - before), 1e3 * client)

    def _spent(self) -> float:
        return int(self._server.read_text().split()[0]) / 1e9


@contextmanager
def databases(dsn: str, sizes: Sequence[int], *, keep: bool) -> Iterator[dict[int, str]]:
    """The dsn of a database for each size, made unless it was kept."""
    names = {size: f"bench_results_{size}" for size in sizes}
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            for size, name in names.items():
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if found.fetchone() is None:
                    connection.execute(f"CREATE DATABASE {name}".encode())
                    seconds = build(make_conninfo(dsn, dbname=name), size)
                    print(f"{size:,} results made in {seconds:.0f} s", flush=True)
            yield {size: make_conninfo(dsn, dbname=name) for size, name in names.items()}
        finally:
            if not keep:
                for name in names.values():
                    connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


async def measure(dsns: dict[int, str], only: str, rounds: int, times: int) -> dict[str, dict[int, Cost]]:
    """The median of each part of each cost, all sizes asked in turn."""
    asks = {name: ask for name, ask in questions().items() if only in name}
    taken: dict[str, dict[int, list[Cost]]] = {name: {size: [] for size in dsns} for name in asks}
    async with AsyncExitStack() as stack:
        asked: dict[int, Asked] = {}
        for size, dsn in dsns.items():
            asked[size] = Asked(dsn)
            await asked[size].open()
            stack.push_async_callback(asked[size].close)
        for _ in range(rounds):
            for name, ask in asks.items():
                for number in range(-1, times):
                    for size, each in asked.items():
                        cost = await each.cost(ask)
                        if number >= 0:  # the first finds other questions' pages in memory
                            taken[name][size].append(cost)
    return {
        name: {size: Cost(*map(statistics.median, zip(*costs, strict=True))) for size, costs in of.items()}
        for name, of in taken.items()
    }


def show(found: dict[str, dict[int, Cost]], sizes: Sequence[int]) -> None:
    """Processor of server and client, and on the clock, in milliseconds; ratios to the smallest."""
    print(f"{'processor | clock, ms':52}" + "".join(f"{size:>18,}" for size in sizes) + "  ratio")
    for name, of in found.items():
        costs = "".join(f"{of[size].processor:>9.2f} |{of[size].clock:>7.2f}" for size in sizes)
        ratio = of[sizes[-1]].processor / of[sizes[0]].processor
        print(f"{name:52}{costs} {ratio:>6.2f}{' !' if ratio > 1.5 else ''}", flush=True)


def page(found: dict[str, dict[int, Cost]], sizes: Sequence[int]) -> str:
    """The table of the documentation: milliseconds of the processor."""
    lines = [
        "| ms of the processor | " + " | ".join(f"{size:,}" for size in sizes) + " | ratio |",
        "| --- |" + " ---: |" * (len(sizes) + 1),
    ]
    for name, of in found.items():
        costs = " | ".join(f"{of[size].processor:.1f}" for size in sizes)
        lines.append(f"| {name} | {costs} | {of[sizes[-1]].processor / of[sizes[0]].processor:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--sizes", default="10000,100000,1000000,10000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=5, help="how often each is asked in a round")
    parser.add_argument("--only", default="", help="questions with this in their name")
    parser.add_argument("--keep", action="store_true", help="leave the databases there")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", action="store_true", help="as Markdown, for docs/explanation/scale.md")
    given = parser.parse_args()
    sizes = sorted(map(int, given.sizes.split(",")))
    with databases(given.dsn, sizes, keep=given.keep) as dsns:
        found = asyncio.run(measure(dsns, given.only, given.rounds, given.times))
    if given.json:
        print(
            json.dumps(
                {name: {size: cost._asdict() for size, cost in of.items()} for name, of in found.items()}
            )
        )
    else:
        show(found, sizes)
        if given.page:
            print(page(found, sizes))


if __name__ == "__main__":
    main()
