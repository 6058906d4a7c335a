"""How much dearer results get when there are a million of them: pages, searches, memory, start-up.

Makes two stores, a small and a large one, and asks both the same questions in turn. By default only the
files that are read are made, and the index is written through the plugin's own writer; with
``--real-files N`` N files are made as well, and an index is rebuilt from them.

    python -m benchmarks.results_scale [--small 1000] [--large 1000000] [--rounds 5] [--times 12]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from aiohttp import ClientSession, web

import aiohttp_jobs
from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.base import ResultRepository
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.engine.embedded.files.layout import Attempt, Layout
from aiohttp_jobs.engine.embedded.index import writer
from aiohttp_jobs.engine.embedded.index.database import IndexDatabase
from aiohttp_jobs.engine.embedded.index.query import find
from aiohttp_jobs.engine.embedded.store import FileSystemStore
from aiohttp_jobs.engine.searching import IndexEntry, entry_of
from aiohttp_jobs.model.job import ExecutionMode, Submission, format_utc, new_job_id, utc_now
from aiohttp_jobs.model.results import ResultFilter, Sort
from aiohttp_jobs.model.search import parse_search
from aiohttp_jobs.system.app_folder import APP_FOLDER
from aiohttp_jobs.system.derived_keys import InstallationKeys

USERS = 5
PAGE = 50
_WORDS = [f"word{number}" for number in range(2000)]
_START = datetime(2026, 1, 1, tzinfo=UTC)
_BATCH = 5000
_AHEAD = 4
_BUILD_KIB = 256 * 1024

Ask = Callable[[ResultRepository], Awaitable[Any]]


def record(number: int, count: int) -> dict[str, Any]:
    """A result such as a small job leaves; always the same for one `number` of `count`."""
    chosen = random.Random(number)
    completed = _START + timedelta(seconds=number)
    failed = number % 4 == 0
    return {
        "JobID": str(UUID(int=chosen.getrandbits(128), version=4)),
        "UserID": f"user{number % USERS}",
        "SessionID": "bench",
        "JobName": f"job {number % 300}",
        "Command": f"run --number {number % 1000} {chosen.choice(_WORDS)}",
        "Description": "",
        "ExecutionMode": "BackgroundJob",
        "DateStarted": format_utc(completed - timedelta(seconds=chosen.random() * 60)),
        "DateCompleted": format_utc(completed),
        "Runtime": round(chosen.random() * 60, 6),
        "Output": " ".join(["common", *chosen.choices(_WORDS, k=20), *_marks(number, count)]),
        "Success": not failed,
        "Status": "Failed" if failed else "Succeeded",
    }


def _marks(number: int, count: int) -> Iterator[str]:
    """Words that a third of the results have, and ten of any number of them, of the user who asks."""
    if number % 3 == 0:
        yield "often"
    if number % (count // 10) // USERS == 1 and number % USERS == 2:
        yield "rare"


def build(base: Path, count: int) -> float:
    """An index of `count` results, and the folder it belongs to without the files; the seconds it took."""
    started = time.perf_counter()
    for folder in ("JobSubmission", "JobOutput", "JobResults"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    database = IndexDatabase(base / "results.index.sqlite3")
    database.open()
    connection = database.connection
    # So much at once is written in a third of the time this way; what is written is the same.
    connection.execute(f"PRAGMA cache_size = -{_BUILD_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_BUILD_KIB // 4}")
    _set_merging(connection, automerge=0, crisismerge=1000)
    with _without_indexes(connection):
        for batch in entries_of(count):
            writer.add(connection, batch)
    _set_merging(connection, automerge=8, crisismerge=16)
    put_together(connection)
    database.close()
    return time.perf_counter() - started


@contextmanager
def _without_indexes(connection: sqlite3.Connection) -> Iterator[None]:
    """They are made again, all at once, at the end of the block."""
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE sql LIKE 'CREATE INDEX%'"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, statement in indexes:
        connection.execute(statement)


def _set_merging(connection: sqlite3.Connection, **limits: int) -> None:
    """When the search index puts parts of it together (https://www.sqlite.org/fts5.html#configuration_options)."""
    for name, limit in limits.items():
        connection.execute("INSERT INTO search (search, rank) VALUES (?, ?)", (name, limit))


def put_together(connection: sqlite3.Connection) -> None:
    """What a host does when it has nothing else to do."""
    if writer.is_scattered(connection):
        goes_on = writer.put_together(connection, begin=True)
        while goes_on:
            goes_on = writer.put_together(connection, begin=False)


def entries_of(count: int) -> Iterator[list[IndexEntry]]:
    """What an index has of `count` results, made by another process while the last is being written."""
    with ProcessPoolExecutor(1) as maker:
        coming: deque[Future[list[IndexEntry]]] = deque()
        for first in range(0, count, _BATCH):
            coming.append(maker.submit(entries, first, min(first + _BATCH, count), count))
            if len(coming) > _AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def entries(first: int, end: int, count: int) -> list[IndexEntry]:
    """Those of the numbers from `first` on, before `end`."""
    records = (record(number, count) for number in range(first, end))
    made = (entry_of(each, size=600, changed=0, search_bytes=65536) for each in records)
    return [entry for entry in made if entry is not None]


def write_files(base: Path, numbers: Iterable[int], count: int) -> None:
    for number in numbers:
        made = record(number, count)
        (base / "JobResults" / f"{made['JobID']}.json").write_text(json.dumps(made, indent=2))


def settle(base: Path) -> None:
    """Write down that the index has all that is in the folder, as a host does when it has compared them."""
    with sqlite3.connect(base / "results.index.sqlite3") as connection:
        seen = (base / "JobResults").stat().st_mtime_ns
        connection.execute("INSERT OR REPLACE INTO facts VALUES ('synced_folder_time', ?)", (seen,))
    connection.close()


def store_at(base: Path) -> FileSystemStore:
    return FileSystemStore(base, max_submission_bytes=100_000, allow_unsigned=False, index_interval=3600)


def questions() -> dict[str, Ask]:
    """What both stores are asked."""

    def page(sort: Sort = Sort.COMPLETED_DOWN, q: str = "", user: str | None = "user2", **more: Any) -> Ask:
        terms = parse_search(q) if q else ()
        wanted = ResultFilter(user, terms=terms, **more)
        return lambda results: results.page(wanted, sort, None, PAGE)

    return {
        "page": page(),
        "page of everybody": page(user=None),
        "page by runtime": page(Sort.RUNTIME_DOWN),
        "page of failures": page(success=False),
        "search, a common word": page(q="common"),
        "search, two words": page(q="common often"),
        "search, a phrase of two": page(q='"often rare"', user=None),
        "search, a word with ten hits": page(q="rare"),
        "search of everybody, ten hits": page(q="rare", user=None),
    }


def numbers_read(base: Path, count: int) -> set[int]:
    """The numbers of the results that the questions will read: only these need files."""
    connection = sqlite3.connect(base / "results.index.sqlite3")
    numbers: set[int] = set()
    wanted: list[tuple[Sort, ResultFilter]] = [(Sort.COMPLETED_DOWN, ResultFilter(None))]
    wanted += [(sort, ResultFilter("user2")) for sort in (Sort.COMPLETED_DOWN, Sort.RUNTIME_DOWN)]
    wanted.append((Sort.COMPLETED_DOWN, ResultFilter("user2", success=False)))
    for q in ("common", "often", "common often", "rare"):
        wanted += [
            (Sort.COMPLETED_DOWN, ResultFilter(user, terms=parse_search(q))) for user in ("user2", None)
        ]
    for sort, one in wanted:
        for row in find(connection, one, sort, None, PAGE + 1):
            query = "SELECT id FROM results WHERE job_id = ?"
            place = connection.execute(query, (row.job_id,)).fetchone()[0]
            numbers.add((place >> 10) // 1_000_000 - int(_START.timestamp()))
    connection.close()
    return {number for number in numbers if 0 <= number < count}


async def ask_in_turn(small: Path, large: Path, rounds: int, times: int) -> dict[str, dict[str, list[float]]]:
    """The medians of each question in each round, in milliseconds, `times` asked at either store in turn."""
    stores = {"small": store_at(small), "large": store_at(large)}
    for store in stores.values():
        await store.open()
    found: dict[str, dict[str, list[float]]] = {name: {"small": [], "large": []} for name in questions()}
    try:
        for _ in range(rounds):
            for name, ask in questions().items():
                for size, taken in (
                    await one_round({size: store.results for size, store in stores.items()}, ask, times)
                ).items():
                    found[name][size].append(statistics.median(taken))
    finally:
        for store in stores.values():
            await store.close()
    return found


async def one_round(stores: Mapping[str, ResultRepository], ask: Ask, times: int) -> dict[str, list[float]]:
    """Milliseconds of every answer but the first two, which find other questions' pages in memory."""
    taken: dict[str, list[float]] = {size: [] for size in stores}
    for number in range(-2, times):
        for size, store in stores.items():
            started = time.perf_counter()
            await ask(store)
            if number >= 0:
                taken[size].append(1000 * (time.perf_counter() - started))
    return taken


async def memory_of(base: Path) -> dict[str, float]:
    """Of a process of its own that asks everything: bytes, and seconds until the store was open."""
    started = time.perf_counter()
    store = store_at(base)
    await store.open()
    opened = time.perf_counter() - started
    for _ in range(5):
        for ask in questions().values():
            await ask(store.results)
    await store.close()
    return {"rss": psutil.Process().memory_info().rss, "open_s": opened}


def in_own_process(base: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.results_scale", "--memory-of", str(base)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


async def rebuild(base: Path, count: int) -> dict[str, float]:
    """The index made again from `count` files: until the store is open, and until all is known."""
    started = time.perf_counter()
    store = store_at(base)
    await store.open()
    opened = time.perf_counter() - started
    first = await store.results.page(ResultFilter(None), Sort.COMPLETED_DOWN, None, PAGE)
    answered = time.perf_counter() - started
    await store.results.catch_up()
    took = time.perf_counter() - started
    await store.close()
    return {
        "files": count,
        "open_s": opened,
        "first_page_s": answered,
        "first_page_count": len(first.records),
        "complete_s": took,
    }


def add_pending(base: Path, count: int) -> None:
    """Submissions that wait, as a host that was killed leaves them."""
    signer = InstallationKeys(base).signer("submission.key")
    for number in range(count):
        submission = Submission(
            job_id=new_job_id(),
            user_id=f"user{number % USERS}",
            session_id="bench",
            job_name="pending",
            command="true",
            execution_mode=ExecutionMode.BACKGROUND_JOB,
            roles=("debug",),
            submitted_at=utc_now(),
        )
        target = Layout(base).submission(submission.user_id, Attempt.of(submission).stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(signer.sign(submission.to_record())))


async def start_up(data_dir: Path) -> dict[str, float]:
    """Seconds from making a host until its socket listens, it has answered, and a waiting job has ended."""
    started = time.perf_counter()
    app = web.Application()
    config = JobsConfig(data_dir=data_dir, shutdown_grace=0)
    aiohttp_jobs.setup(app, config)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found = {"listening_s": time.perf_counter() - started}
    url = f"http://127.0.0.1:{runner.addresses[0][1]}{config.prefix}/api/v1/results"
    _, secret = ApiKeys.in_data_dir(data_dir).create(name="bench", user_id="user2", roles=["debug"])
    folder = config.base_dir / "JobResults"
    before = len(list(folder.iterdir()))
    async with ClientSession(headers={"Authorization": f"Bearer {secret}"}) as session:
        async with session.get(url) as response:
            response.raise_for_status()
        found["answered_s"] = time.perf_counter() - started
        worst = 0.0
        while len(os.listdir(folder)) == before:
            asked = time.perf_counter()
            async with session.get(url) as response:
                response.raise_for_status()
            worst = max(worst, time.perf_counter() - asked)
        found |= {"first_job_s": time.perf_counter() - started, "slowest_answer_s": worst}
    await runner.cleanup()
    return found


def measure(
    count_small: int = 1000,
    count_large: int = 1_000_000,
    rounds: int = 5,
    times: int = 12,
    real_files: int = 0,
    pending: int = 10_000,
) -> dict[str, Any]:
    """All figures; those of the questions are the medians of each round."""
    with tempfile.TemporaryDirectory(prefix="results-scale-") as folder:
        small, large = Path(folder) / "small" / APP_FOLDER, Path(folder) / "large" / APP_FOLDER
        built = [build(base, count) for base, count in ((small, count_small), (large, count_large))]
        for base, count in ((small, count_small), (large, count_large)):
            write_files(base, numbers_read(base, count), count)
            settle(base)
        found: dict[str, Any] = {
            "build_s": built[1],
            "index_bytes": (large / "results.index.sqlite3").stat().st_size,
            "questions": asyncio.run(ask_in_turn(small, large, rounds, times)),
            "small": in_own_process(small),
            "large": in_own_process(large),
        }
        add_pending(large, pending)
        found["start_up"] = asyncio.run(start_up(Path(folder) / "large"))
        if real_files:
            base = Path(folder) / "real"
            (base / "JobResults").mkdir(parents=True)
            write_files(base, range(real_files), real_files)
            found["rebuild"] = asyncio.run(rebuild(base, real_files))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=12, help="how often each is asked in a round")
    parser.add_argument("--real-files", type=int, default=0, help="rebuild an index from this many files")
    parser.add_argument("--pending", type=int, default=10_000, help="submissions that wait at start-up")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_of:
        print(json.dumps(asyncio.run(memory_of(given.memory_of))))
        return
    found = measure(given.small, given.large, given.rounds, given.times, given.real_files, given.pending)
    if given.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'':36} {given.small:>10,} {given.large:>10,}   ratio")
    for name, taken in found["questions"].items():
        few, many = (statistics.median(taken[size]) for size in ("small", "large"))
        print(f"{name:36} {few:>7.2f} ms {many:>7.2f} ms {many / few:>7.2f}")
    for name, key, unit in (("memory of the process, MB", "rss", 1e6), ("open, s", "open_s", 1)):
        one, other = found["small"][key] / unit, found["large"][key] / unit
        print(f"{name:36} {one:>10.3f} {other:>10.3f} {other / one:>7.2f}")
    print(
        f"index of the large store: {found['index_bytes'] / 1e6:.0f} MB, written in {found['build_s']:.0f} s"
    )
    print(f"start-up with {given.pending:,} pending:", found["start_up"])
    if "rebuild" in found:
        print("rebuilt from files:", found["rebuild"])


if __name__ == "__main__":
    main()
