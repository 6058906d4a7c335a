"""Reconciler: keeps the index consistent with the folder of results, in the background and in small steps.

Results that this process writes or deletes are noted directly. The reconciler finds what other programs add
and remove, and what a crash left out, and rebuilds a lost index.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from ....system.storage_state import StorageState
from ...searching import IndexEntry
from ..files.layout import is_settled
from . import writer
from .index import ResultIndex
from .scan import FolderScan

P = ParamSpec("P")
T = TypeVar("T")

_NAMES = 1000
_FILES = 250
_ROWS = 1000
_NO_ID = (1 << 63) - 1
_BROKEN_KEPT = 10_000
_SHARE_WHEN_FILLING = 0.5
_SHARE = 0.05
_SYNCED = "synced_folder_time"
_ORPHANS_KEPT = 50_000
_logger = logging.getLogger(__name__)


class Reconciler:
    """Compares the folder with `index` every `interval` seconds if it has changed, and at once when woken.

    `load` reads a result, `stat` returns its size and modification time. It uses at most a twentieth of one
    thread's time, or half of it to fill an index.
    """

    def __init__(
        self,
        index: ResultIndex,
        folder: Path,
        load: Callable[[bytes], IndexEntry | None],
        stat: Callable[[bytes], tuple[int, int] | None],
        interval: float,
        storage: StorageState,
    ) -> None:
        self._index = index
        self._storage = storage
        self._folder = folder
        self._load = load
        self._stat = stat
        self._interval = interval
        self._seen: int | None = None
        self._generation = 0
        self._broken: dict[bytes, int] = {}
        self._changes = 0
        self._is_merging = False
        self._filled = asyncio.Event()
        self._wake = asyncio.Event()
        self._passing = asyncio.Lock()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def filling(self) -> bool:
        """Whether there may be results, besides the most recent, that are not in the index yet."""
        return not self._filled.is_set() or self._generation != self._index.generation

    async def wait_filled(self, timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._filled.wait(), timeout)

    async def open(self) -> None:
        """Start. At first there is work only if the folder has changed since the last run."""
        self._generation = self._index.generation
        seen = await asyncio.to_thread(self._folder_time)
        if await self._index.fact(_SYNCED) == seen:
            self._seen = seen
            self._filled.set()
        self._task = asyncio.create_task(self._run(), name="aiohttp-jobs-reconciler")

    async def close(self) -> None:
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def has_news(self) -> bool:
        """Whether there is anything to compare. Blocks."""
        return self.filling or self._folder_time() != self._seen

    def look_soon(self) -> None:
        self._wake.set()

    async def catch_up(self) -> None:
        """Return when the index is consistent with the folder."""
        async with self._passing:
            if self.filling or await asyncio.to_thread(self._folder_time) != self._seen:
                await self._compare()

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self.catch_up()
                await self._shed_orphans()
                await self._put_together()
            except Exception as error:
                message = "Cannot compare the folder of results with its index; trying again"
                self._storage.report(error, _logger, message)
            # Not wait_for: on Python 3.11 it forgets that it was cancelled when it is woken just then.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._wake.wait()
            self._wake.clear()

    async def _compare(self) -> None:
        generation = self._index.generation
        if self._generation != generation:
            self._filled.clear()
            self._generation = generation
        now, seen = time.time_ns(), await asyncio.to_thread(self._folder_time)
        settled = is_settled(seen, now)
        with self._index.recent() as recent:
            there = await self._add_unknown(recent)
            await self._index.flush()
            # A result that is being written may never be noted: it has to be looked at once more then.
            settled = settled and not self._index.noted()
            if there < await self._index.write(lambda connection: writer.count(connection) - len(recent)):
                await self._drop_missing()
        if generation == self._index.generation:
            self._seen = seen if settled else None
            if settled:
                await self._index.set_fact(_SYNCED, seen)
            self._filled.set()

    async def _add_unknown(self, recent: set[bytes]) -> int:
        """Index the files that are not yet, the latest first; how many files the index knows then.

        Without those in `recent`, which this process writes meanwhile and need not look for.
        """
        there = 0
        scan = FolderScan(self._folder)
        try:
            await _finished(asyncio.to_thread(scan.open))
            while (known := await self._step(self._sift, scan, recent)) is not None:
                there += known
            while batch := await _finished(asyncio.to_thread(scan.newest, _FILES)):
                there += await self._add(batch)
        finally:
            scan.close()
        return there

    def _sift(self, connection: sqlite3.Connection, scan: FolderScan, recent: set[bytes]) -> int | None:
        """Look at some more names, and put those that are not known aside; how many are known."""
        names = scan.names(_NAMES)
        if not names:
            return None
        noted, unknown = self._index.noted(), writer.unknown(connection, names)
        stats = ((job_id, self._stat(job_id)) for job_id in unknown if job_id not in noted)
        rows = [(job_id, stat[1]) for job_id, stat in stats if stat is not None]
        scan.put([row for row in rows if self._broken.get(row[0]) != row[1]])
        return len(names) - len(unknown) - len(recent.intersection(names))

    async def _add(self, batch: Sequence[tuple[bytes, int]]) -> int:
        loaded = await self._rested(asyncio.to_thread(_timed, self._load_all, batch))
        entries = [entry for entry in loaded if entry is not None]
        await self._step(writer.add, entries)
        for (job_id, changed), entry in zip(batch, loaded, strict=True):
            if entry is None and len(self._broken) < _BROKEN_KEPT:
                self._broken[job_id] = changed
        return len(entries)

    def _load_all(self, batch: Sequence[tuple[bytes, int]]) -> list[IndexEntry | None]:
        return [self._load(job_id) for job_id, _ in batch]

    async def _drop_missing(self) -> None:
        place: int | None = -_NO_ID
        while place is not None:
            place = await self._step(self._drop_some, place)

    def _drop_some(self, connection: sqlite3.Connection, place: int) -> int | None:
        """Of the next results behind `place`, forget those whose files are gone; where that ended."""
        query = "SELECT id, job_id FROM results WHERE id > ? ORDER BY id LIMIT ?"
        rows = connection.execute(query, (place, _ROWS)).fetchall()
        gone = [job_id for _, job_id in rows if self._stat(job_id) is None]
        if gone:
            writer.remove(connection, gone)
        return rows[-1][0] if rows else None

    async def _shed_orphans(self) -> None:
        """Start anew when the search index is mostly about results that are gone."""
        orphans = await self._index.write(writer.orphans)
        if orphans > max(_ORPHANS_KEPT, await self._index.write(writer.count)):
            await self._index.start_anew()
            await self.catch_up()

    async def _put_together(self) -> None:
        """For as long as until the next look, make searches faster."""
        end = time.monotonic() + self._interval
        while await self._step(self._merge_some) and time.monotonic() < end and not self._wake.is_set():
            pass

    def _merge_some(self, connection: sqlite3.Connection) -> bool:
        """A step of that; whether there is more to do. Nothing is asked if nothing was written."""
        begin = not self._is_merging
        if begin and (connection.total_changes == self._changes or not writer.is_scattered(connection)):
            self._changes = connection.total_changes
            return False
        self._is_merging = writer.put_together(connection, begin=begin)
        return self._is_merging

    async def _step(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do a piece of work in the index's thread, then rest."""
        return await self._rested(
            self._index.write(lambda connection: _timed(function, connection, *args, **kwargs))
        )

    async def _rested(self, work: Coroutine[Any, Any, tuple[T, float]]) -> T:
        result, seconds = await _finished(work)
        share = _SHARE_WHEN_FILLING if self.filling else _SHARE
        await asyncio.sleep(seconds * (1 / share - 1))
        return result

    def _folder_time(self) -> int:
        return self._folder.stat().st_mtime_ns


def _timed(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """The result, and the processor time it took: what others did meanwhile is not counted."""
    started = time.thread_time()
    return function(*args, **kwargs), time.thread_time() - started


async def _finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work` in a thread. When cancelled, still waits for it: it uses what is closed then."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
