"""ResultIndex: updates and reads the index, from the event loop.

Writes run in one thread, in short steps; reads have threads of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Concatenate, ParamSpec, TypeVar

from ....system.owned_tasks import OwnedTasks
from ....system.storage_state import StorageState
from ....system.threads import DaemonThreads
from ...base import TooSlowError
from ...searching import IndexEntry, id_bytes
from . import writer
from .database import IndexDatabase

P = ParamSpec("P")
T = TypeVar("T")

_READERS = 4
_FLUSH_SECONDS = 0.2
_LONGEST_SECONDS = 2.0
_MOST_WAITING = 5000
_MOST_CHARACTERS = 16 * 1024 * 1024
_BATCH = 200
_READ_SECONDS = 10.0
_STEPS = 100_000
_MOST_KEPT = 20_000
_ANEW_SECONDS = 60.0
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA}
"""What an index that is made anew would not have. A full disk is none of these."""
_OF_THE_FILE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR}
"""Damage where the disk itself can be written: somebody has done something to the index's files."""
_MOST_FAILURES = 3
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Amount:
    """Of results, since the index was opened. Each is added to by one thread only."""

    records: int = 0
    characters: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        self.records += 1
        self.characters += len(record["Output"])


class ResultIndex:
    """The index in the database file `path`; `describe` builds the entry of a record, in a thread."""

    def __init__(
        self, path: Path, describe: Callable[[Mapping[str, Any]], IndexEntry | None], storage: StorageState
    ) -> None:
        self._database = IndexDatabase(path)
        self._storage = storage
        self._made_anew = float("-inf")
        self._failures = 0
        self._describe = describe
        self._pending: deque[Mapping[str, Any]] = deque()
        self.expected: set[str] = set()
        """The ids of results that may be found as files, and will be noted in a moment."""
        self._recent: set[bytes] | None = None
        self._noted = _Amount()
        self._written = _Amount()
        self._seen = 0
        self._waits_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._flushes = OwnedTasks("the index of results")
        self._readers = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._write_thread = DaemonThreads(1, "aiohttp-jobs-index")
        self._read_threads = DaemonThreads(_READERS, "aiohttp-jobs-search")

    @property
    def generation(self) -> int:
        """Changes when the index was recreated."""
        return self._database.generation

    async def open(self) -> None:
        await self._in_writer(lambda: self._mending(lambda _: None, first=self._database.open))

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._flushes.wait()
        await self.flush()
        self._read_threads.shutdown()
        await self._in_writer(self._close)
        self._write_thread.shutdown()

    def note(self, record: Mapping[str, Any]) -> None:
        """Add a result that this process has just written, soon. Every read waits for it."""
        self._pending.append(record)
        self._noted.add(record)
        if self._timer is None:
            self._seen, self._waits_since = self._noted.records, monotonic()
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._on_timer)

    def noted(self) -> set[bytes]:
        """The ids of what is, or will be, noted and is not written yet. From any thread; exact in the one
        that writes."""
        job_ids = self.expected.copy()  # first: what is noted meanwhile is in either
        job_ids.update(str(record["JobID"]) for record in tuple(self._pending))
        found = set[bytes]()
        for job_id in job_ids:
            with contextlib.suppress(ValueError):
                found.add(id_bytes(job_id))
        return found

    @contextlib.contextmanager
    def recent(self) -> Iterator[set[bytes]]:
        """The ids that are noted or written while the block runs; the set grows. One block at a time."""
        self._recent = recent = set[bytes]()
        try:
            yield recent
        finally:
            self._recent = None

    async def flush(self) -> None:
        """Write what was noted. What cannot be written now stays noted."""
        try:
            while self._noted.records > self._written.records:
                await self.write(self._take_in)
        except (sqlite3.Error, OSError) as error:
            self._complain(error)

    async def remove(self, job_ids: Sequence[bytes]) -> None:
        """Remove results whose files were deleted. Missed ones are found when the folder is read."""
        await self.flush()
        try:
            await self.write(writer.remove, job_ids)
        except (sqlite3.Error, OSError) as error:
            self._complain(error)

    async def write(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `function` with the writing connection, and return its result."""
        return await self._in_writer(
            lambda: self._mending(lambda connection: function(connection, *args, **kwargs))
        )

    async def read(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `function` with a reading connection that sees every noted result, and return its result.

        Raises `TooSlowError` when it takes longer than ten seconds.
        """
        await self.flush()
        if not self._database.in_memory:
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._read_threads,
                    lambda: self._read(lambda connection: function(connection, *args, **kwargs)),
                )
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                    raise TooSlowError from None
        # In the thread that can mend it.
        return await self.write(function, *args, **kwargs)

    async def fact(self, name: str) -> int | None:
        return await self._in_writer(lambda: self._mending(lambda _: self._database.fact(name)))

    async def set_fact(self, name: str, value: int) -> None:
        await self._in_writer(lambda: self._mending(lambda _: self._database.set_fact(name, value)))

    async def start_anew(self) -> None:
        """Recreate the index empty, to be filled from the files."""
        await self._in_writer(self._database.reset)

    def _on_timer(self) -> None:
        """Write once no more results come: while jobs run, they need the processor more than the index."""
        loop = asyncio.get_running_loop()
        has_waited = monotonic() - self._waits_since > _LONGEST_SECONDS
        keep_coming, self._seen = self._noted.records != self._seen, self._noted.records
        if keep_coming and not has_waited and not self._is_much():
            self._timer = loop.call_later(_FLUSH_SECONDS, self._on_timer)
            return
        self._timer = None
        self._flushes.start(self.flush())

    def _is_much(self) -> bool:
        records = self._noted.records - self._written.records
        characters = self._noted.characters - self._written.characters
        return records > _MOST_WAITING or characters > _MOST_CHARACTERS

    def _complain(self, error: Exception) -> None:
        if not self._storage.explains(error):
            _logger.warning("The index of results cannot be kept up to date: %s", error)

    async def _in_writer(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._write_thread, function)

    # --- below here everything runs in the index's own threads

    def _mending(
        self, function: Callable[[sqlite3.Connection], T], first: Callable[[], None] | None = None
    ) -> T:
        """Call `function`; where the database is damaged, on a new one.

        That is made in memory when the last one was made a moment ago: what damages them would go on.
        """
        for in_memory in (False, True):
            try:
                if first is not None:
                    first()
                elif self._database.was_replaced():
                    self._database.close()
                    self._database.open()
                return function(self._database.connection)
            except sqlite3.DatabaseError as error:
                if not self._is_damage(error):
                    raise
                now = monotonic()
                is_again = in_memory or now - self._made_anew < _ANEW_SECONDS
                self._made_anew = now
                where = " in memory, as it was damaged again" if is_again else ""
                _logger.warning("The index of results is made anew%s: %s", where, error)
                self._database.reset(in_memory=is_again)
                first = None
        return function(self._database.connection)

    def _is_damage(self, error: sqlite3.Error) -> bool:
        """Whether another index would not have this error. Raises what the disk says if it refuses."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _OF_THE_FILE:
            self._database.require_disk()
            self._failures += 1
            # A disk that failed for a moment has done no harm.
            return code != sqlite3.SQLITE_IOERR or self._failures >= _MOST_FAILURES
        self._failures = 0
        return code in _DAMAGE

    def _take_in(self, connection: sqlite3.Connection) -> None:
        batch = [self._pending.popleft() for _ in range(min(_BATCH, len(self._pending)))]
        try:
            entries = [entry for record in batch if (entry := self._describe(record)) is not None]
            writer.add(connection, entries)
        except BaseException:
            self._pending.extendleft(reversed(batch))
            self._forget_some()
            raise
        if self._recent is not None:
            self._recent.update(entry.job_id for entry in entries)
        for record in batch:
            self._written.add(record)

    def _forget_some(self) -> None:
        """Of what cannot be written, keep so much in memory: the rest is found as files."""
        while len(self._pending) > _MOST_KEPT:
            self._written.add(self._pending.popleft())

    def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        if self._database.was_replaced():
            raise sqlite3.DatabaseError("the index was replaced")
        connection = self._reader()
        deadline = monotonic() + _READ_SECONDS
        connection.set_progress_handler(lambda: monotonic() > deadline, _STEPS)
        return function(connection)

    def _reader(self) -> sqlite3.Connection:
        """This thread's connection to the database of this moment."""
        generation = self._database.generation
        if getattr(self._readers, "generation", None) != generation:
            connection = self._database.connect_reader()
            old: sqlite3.Connection | None = getattr(self._readers, "connection", None)
            if old is not None:
                self._connections.remove(old)
                old.close()
            self._readers.connection, self._readers.generation = connection, generation
            self._connections.append(connection)
        found: sqlite3.Connection = self._readers.connection
        return found

    def _close(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        self._database.close()
