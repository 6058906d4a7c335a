"""Lists, searches, counts and deletes the results of a data folder.

The files say what a result contains; the index says which results exist, and in which order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import Any

from ...errors import PartlyDeletedError
from ...model.job import LONG_FIELDS, JobStatus, utc_now
from ...model.results import ResultFilter, ResultPage, RetentionRules, Sort, StatsFilter
from ...model.search import Term
from ...system.jsontext import dumps
from ...system.owned_tasks import OwnedTasks
from ...system.storage_state import StorageState
from ...system.threads import DaemonThreads
from ..base import TooSlowError
from ..searching import (
    IndexEntry,
    Key,
    TextSearch,
    abridged,
    all_exact,
    entry_of,
    id_bytes,
    id_text,
    phrases,
    read_cursor,
    searched_texts,
    snippet,
    write_cursor,
)
from .files.layout import Layout
from .files.results import ResultFiles
from .index import Reconciler, ResultIndex
from .index.expiry import count, expired, kept_bytes
from .index.query import IndexRow, find, previous_status
from .index.statistics import statistics

_FIRST_SECONDS = 1.0
_SEARCH_SECONDS = 2.0
_MOST_CANDIDATES = 200
_THREADS = 2
_logger = logging.getLogger(__name__)


class IndexedResults:
    """The results below `at`; `search_bytes` of each output and command are searchable."""

    def __init__(
        self,
        at: Layout,
        files: ResultFiles,
        *,
        search_bytes: int,
        interval: float,
        storage: StorageState | None = None,
    ) -> None:
        self._at = at
        self._files = files
        self._search_bytes = search_bytes
        self._storage = storage = storage or StorageState(at.base)
        self._index = ResultIndex(at.index, self._describe, storage)
        self._reconciler = Reconciler(self._index, at.results, self._load, self._stat, interval, storage)
        self._threads = DaemonThreads(_THREADS, "aiohttp-jobs-results")
        self._patience = 0.0
        self._tasks = OwnedTasks("the results")
        self.on_deleted: Callable[[str, str], None] = lambda user_id, job_id: None
        """Called with the owner and the id of each result that is deleted."""

    async def open(self) -> None:
        """Open the index. Reads no result: missing ones are added in the background."""
        await self._index.open()
        await self._reconciler.open()
        self._patience = monotonic() + _FIRST_SECONDS

    async def close(self) -> None:
        await self._reconciler.close()
        await self._tasks.wait()
        await self._index.close()
        self._threads.shutdown()

    def expect(self, job_id: str) -> None:
        """This process is about to write a result, and to `note` it: nobody else need read it meanwhile."""
        self._index.expected.add(job_id)

    def expect_no_more(self, job_id: str) -> None:
        """It was noted, or could not be written."""
        self._index.expected.discard(job_id)

    def note(self, record: Mapping[str, Any]) -> None:
        """Add a result that this process has just written to the index.

        Cheap; a large output is cut for it.
        """
        self._index.note(abridged(record, self._search_bytes))

    async def page(
        self, wanted: ResultFilter, sort: Sort, cursor: str | None, limit: int, *, outputs: bool = False
    ) -> ResultPage:
        """`limit` results, from where `cursor` says; with a ``Snippet`` where words are looked for.

        Raises `BadCursorError` and `TooSlowError`.
        """
        after = None if cursor is None else read_cursor(cursor, wanted, sort)
        await self._wait_a_little()
        indexing = self._reconciler.filling
        found, gone, following = await self._index.read(
            self._collect, wanted, sort, after, limit, outputs=outputs
        )
        if gone:
            self._forget(gone)
        return ResultPage(
            found, None if following is None else write_cursor(following, wanted, sort), indexing
        )

    async def previous_status(self, user_id: str, job_name: str, before: datetime) -> JobStatus | None:
        """How the user's last job of that name that was completed before `before` ended."""
        status = await self._index.read(previous_status, user_id, job_name, before)
        return JobStatus(status) if status in set(JobStatus) else None

    async def statistics(self, wanted: StatsFilter) -> dict[str, Any]:
        """The ``stats`` of ``GET /results/stats``. Raises `TooSlowError`."""
        await self._wait_a_little()
        return await self._index.read(statistics, wanted)

    async def kept_bytes(self, user_id: str) -> int:
        """How much the user's results take, with the outputs kept beside them."""
        return await self._index.read(kept_bytes, user_id)

    async def count(self) -> int:
        """How many there are, of all users."""
        return await self._index.read(count)

    async def owners(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Whose results those of `job_ids` are that there are."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._owners, job_ids)

    async def delete(self, job_ids: Sequence[str]) -> int:
        """Delete results with all that belongs to them; how many of them there were.

        Raises `PartlyDeletedError`, and ``OSError`` when none was.
        """
        loop = asyncio.get_running_loop()
        try:
            deleted = await loop.run_in_executor(self._threads, self._files.delete, job_ids)
        except PartlyDeletedError as error:
            self._reconciler.look_soon()
            self._storage.report(error.__cause__ or error, _logger, "Results cannot be deleted")
            raise
        await self._index.remove([id_bytes(job_id) for job_id in job_ids])
        for job_id, user_id in deleted.items():
            self.on_deleted(user_id, job_id)
        return len(deleted)

    async def delete_matching(self, wanted: ResultFilter, limit: int) -> tuple[int, bool]:
        """Delete `limit` of the results that are `wanted`: how many, and whether there may be more.

        Raises `TooSlowError`.
        """
        await self._wait_a_little()
        job_ids, more = await self._index.read(self._matching, wanted, limit)
        owners = await self.owners(job_ids)
        owned = [job_id for job_id in job_ids if owners.get(job_id) == wanted.user_id]
        deleted = await self.delete(owned)
        await self._index.remove([id_bytes(job_id) for job_id in job_ids])
        return deleted, more

    async def delete_expired(self, rules: RetentionRules, limit: int) -> int:
        """Delete at most `limit` results that `rules` no longer keep, the oldest first; how many."""
        gone = await self._index.read(expired, rules, utc_now(), limit)
        job_ids = [id_text(job_id) for job_id in gone]
        if job_ids:
            await self.delete(job_ids)
        return len(job_ids)

    async def catch_up(self) -> None:
        """Return when what other programs added and removed until now is known."""
        await self._reconciler.catch_up()

    def has_news(self) -> bool:
        """Whether other programs have added or removed anything. Blocks."""
        return self._reconciler.has_news()

    def look_soon(self) -> None:
        """Look for changes at once."""
        self._reconciler.look_soon()

    async def _wait_a_little(self) -> None:
        """So that right after a start, where there is little to do, nobody sees half a list."""
        if self._reconciler.filling and (patience := self._patience - monotonic()) > 0:
            await self._reconciler.wait_filled(patience)

    def _forget(self, job_ids: list[bytes]) -> None:
        self._tasks.start(self._index.remove(job_ids))

    # --- below here everything runs in a thread

    def _collect(
        self,
        connection: sqlite3.Connection,
        wanted: ResultFilter,
        sort: Sort,
        after: Key | None,
        limit: int,
        *,
        outputs: bool,
    ) -> tuple[list[bytes], list[bytes], Key | None]:
        """Results, those whose files are gone, and where the next page starts."""
        # Snippets are made of the output, too.
        read = self._files.read if outputs or wanted.terms else self._files.read_summary
        found: list[bytes] = []
        gone: list[bytes] = []
        last: Key | None = None
        end = monotonic() + _SEARCH_SECONDS
        with self._check(wanted.terms) as has_terms:
            for row in _rows(connection, wanted, sort, after, limit + 1):
                if len(found) == limit or (last is not None and monotonic() > end):
                    return found, gone, last
                last = row.key
                record = read(id_text(row.job_id))
                if record is None:
                    gone.append(row.job_id)
                elif wanted.user_id in (None, record.get("UserID")) and has_terms(record):
                    if wanted.terms:
                        record["Snippet"] = self._snippet(record, wanted)
                        for long in LONG_FIELDS:
                            record.pop(long, None)
                    found.append(dumps(record))
        return found, gone, None

    def _matching(
        self, connection: sqlite3.Connection, wanted: ResultFilter, limit: int
    ) -> tuple[list[str], bool]:
        """The job ids of the first `limit` results that are `wanted`, and whether there may be more.

        Results whose files are gone may be among them. Raises `TooSlowError`.
        """
        found: list[str] = []
        end = monotonic() + _SEARCH_SECONDS
        with self._check(wanted.terms) as has_terms:
            for row in _rows(connection, wanted, Sort.COMPLETED, None, limit + 1):
                if len(found) == limit:
                    return found, True
                job_id = id_text(row.job_id)
                if (
                    all_exact(wanted.terms)
                    or (record := self._files.read(job_id)) is None
                    or has_terms(record)
                ):
                    found.append(job_id)
                elif monotonic() > end:
                    if not found:
                        raise TooSlowError
                    return found, True
        return found, False

    @contextmanager
    def _check(self, terms: Sequence[Term]) -> Iterator[Callable[[Mapping[str, Any]], bool]]:
        """Whether a record has `terms`, when it is known to have their words."""
        if all_exact(terms):
            yield lambda record: True
            return
        with TextSearch(phrases(terms)) as search:
            yield lambda record: search.finds(searched_texts(record, self._search_bytes))

    def _owners(self, job_ids: Sequence[str]) -> dict[str, str]:
        records = ((job_id, self._files.read(job_id)) for job_id in job_ids)
        return {job_id: str(record.get("UserID", "")) for job_id, record in records if record is not None}

    def _describe(self, record: Mapping[str, Any]) -> IndexEntry | None:
        try:
            stat = self._stat(id_bytes(record["JobID"]))
        except (KeyError, ValueError, AttributeError, TypeError):
            return None
        if stat is None:
            return None
        size, changed = stat
        if record.get("OutputTruncated") is True:
            size += self._files.log_size(record)
        return entry_of(record, size=size, changed=changed, search_bytes=self._search_bytes)

    def _snippet(self, record: Mapping[str, Any], wanted: ResultFilter) -> str | None:
        name, command, output = searched_texts(record, self._search_bytes)
        return snippet(wanted.terms, (output, name, command))

    def _load(self, job_id: bytes) -> IndexEntry | None:
        record = self._files.read(id_text(job_id))
        entry = None if record is None or record.get("JobID") != id_text(job_id) else self._describe(record)
        if entry is None and self._stat(job_id) is not None:
            # Once: it is not read again until it has changed.
            _logger.error("Result file %s.json cannot be used: there is no result in it", id_text(job_id))
        return entry

    def _stat(self, job_id: bytes) -> tuple[int, int] | None:
        try:
            stat = os.lstat(self._at.result_file(id_text(job_id)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return stat.st_size, stat.st_mtime_ns


def _rows(
    connection: sqlite3.Connection, wanted: ResultFilter, sort: Sort, after: Key | None, likely: int
) -> Iterator[IndexRow]:
    """What `find` finds behind `after`, `likely` or more at a time."""
    at_once = likely if all_exact(wanted.terms) else max(likely, _MOST_CANDIDATES)
    while rows := find(connection, wanted, sort, after, at_once):
        yield from rows
        if len(rows) < at_once:
            return
        after = rows[-1].key
