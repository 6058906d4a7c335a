"""A store that has many results of real sizes, half of which were deleted again, and its index.

The index is written by the plugin's own writer, as a host does it: a few hundred results at a time, and its
parts are put together at the end. Of the result files only names are there, as nothing but searches and
pages reads them.

    python -m benchmarks.kept_results FOLDER [--count 100000] [--kind English]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from aiohttp_jobs.engine.embedded.files.layout import Layout
from aiohttp_jobs.engine.embedded.index import writer
from aiohttp_jobs.engine.embedded.index.database import IndexDatabase
from aiohttp_jobs.engine.searching import IndexEntry, entry_of, id_text
from aiohttp_jobs.model.job import format_utc

from . import outputs
from .results_scale import put_together

SEARCH_BYTES = 64 * 1024
_BATCH = 200
_AHEAD = 4
_EVERY_SECONDS = 3
_START = datetime(2026, 1, 1, tzinfo=UTC)
_KINDS: dict[str, Callable[[random.Random, int], str]] = {"any": outputs.any_kind, **outputs.KINDS}


@dataclass(frozen=True, slots=True)
class Built:
    """An index that was made: of how many bytes that can be searched, how large it is, and what it took."""

    text_bytes: int
    index_bytes: int
    seconds: float
    processor_seconds: float
    """Of the thread that wrote it."""


def build(base: Path, count: int, kind: str = "any", *, deleted: int = 1) -> Built:
    """Make the index of `count` results in the new folder `base`, and of `deleted` more for each of them.

    Those are deleted again. The bytes of the text are those of all that was added.
    """
    at = Layout(base)
    for folder in (at.output, at.results):
        folder.mkdir(parents=True)
    database = IndexDatabase(at.index)
    database.open()
    text_bytes, started, used = 0, time.perf_counter(), 0.0
    for batch, searched in _batches(count * (1 + deleted), kind):
        begun = time.thread_time()
        writer.add(database.connection, batch)
        gone = [entry.job_id for number, entry in enumerate(batch) if number % (1 + deleted)]
        writer.remove(database.connection, gone)
        used += time.thread_time() - begun
        text_bytes += searched
        for entry in batch[:: 1 + deleted]:
            Path(at.result_file(id_text(entry.job_id))).touch()
    begun = time.thread_time()
    put_together(database.connection)
    used += time.thread_time() - begun
    seconds = time.perf_counter() - started
    database.set_fact("synced_folder_time", at.results.stat().st_mtime_ns)
    database.close()
    return Built(text_bytes, at.index.stat().st_size, seconds, used)


def _batches(count: int, kind: str) -> Iterator[tuple[list[IndexEntry], int]]:
    """Entries and the bytes of their texts, made by another process while the last are being written."""
    with ProcessPoolExecutor(1) as maker:
        coming: deque[Future[tuple[list[IndexEntry], int]]] = deque()
        for first in range(0, count, _BATCH):
            coming.append(maker.submit(_entries, range(first, min(first + _BATCH, count)), kind))
            if len(coming) > _AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _entries(numbers: range, kind: str) -> tuple[list[IndexEntry], int]:
    entries, searched = [], 0
    for number in numbers:
        chosen = random.Random(number)
        completed = _START + timedelta(seconds=_EVERY_SECONDS * number, milliseconds=chosen.random() * 999)
        size = outputs.size(chosen)
        record = {
            "JobID": str(UUID(int=chosen.getrandbits(128), version=4)),
            "UserID": f"user{number % 5}",
            "JobName": f"job {number % 300}",
            "Command": f"run --number {number % 1000}",
            "ExecutionMode": "BackgroundJob",
            "DateStarted": format_utc(completed - timedelta(seconds=1)),
            "DateCompleted": format_utc(completed),
            "Runtime": 1.0,
            "Output": _KINDS[kind](chosen, min(size, SEARCH_BYTES)),
            "Success": True,
            "Status": "Succeeded",
        }
        entry = entry_of(record, size=size, changed=0, search_bytes=SEARCH_BYTES)
        if entry is not None:
            entries.append(entry)
            searched += sum(len(text.encode()) for text in (entry.name, entry.command, entry.output))
    return entries, searched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--kind", choices=_KINDS, default="any")
    parser.add_argument("--deleted", type=int, default=1, help="of each result that is kept")
    given = parser.parse_args()
    built = build(given.folder, given.count, given.kind, deleted=given.deleted)
    print(json.dumps({name: getattr(built, name) for name in Built.__slots__}))


if __name__ == "__main__":
    main()
