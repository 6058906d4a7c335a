"""Results in the database: stores, lists, searches, counts and deletes them.

``results_search`` makes the queries, ``expiry`` applies retention, ``months`` has the partitions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import psycopg

from ...errors import BusyError
from ...model.job import utc_now
from ...model.results import ResultFilter, ResultPage, RetentionRules, Sort, StatsFilter
from ...system.jsontext import dumps, loads
from ...system.owned_tasks import OwnedTasks
from ...system.threads import DaemonThreads
from ..base import TooSlowError
from ..searching import (
    Key,
    TextSearch,
    all_exact,
    first_id,
    microseconds,
    phrases,
    read_cursor,
    searched_texts,
    snippet,
    write_cursor,
)
from . import statistics
from .async_database import AsyncConnection, AsyncDatabase, one
from .database import DatabaseUnavailableError
from .expiry import Told, delete_by_ids, delete_expired, put_amounts_together
from .months import Months
from .result_rows import ResultRow, insert, job_uuids, row_of, storable
from .results_search import ResultSearch, Row

_SEARCH_SECONDS = 2.0
_THREADS = 2
_UPKEEP_SECONDS = 60.0
T = TypeVar("T")
First = Callable[[AsyncConnection], Awaitable[None]]
Tell = Callable[[AsyncConnection, Told | None], Awaitable[None]]
_logger = logging.getLogger(__name__)

_OWNERS = """
SELECT r.id, r.job_id, r.user_id FROM aiohttp_jobs.ended_jobs e
JOIN aiohttp_jobs.results r ON r.id = e.result_id AND r.job_id = e.job_id WHERE e.job_id = ANY(%s)
"""
_KEPT = "SELECT coalesce(sum(size), 0)::bigint FROM aiohttp_jobs.kept_amounts WHERE user_id = %s"


_COUNT = "SELECT coalesce(sum(results), 0)::bigint FROM aiohttp_jobs.kept_amounts"


class PostgresResults:
    """The `ResultRepository`. Of each output and command, `search_bytes` can be searched.

    `tell` is awaited in each transaction that deletes results, with their job ids and user ids, or with
    ``None`` when they are too many to list.
    """

    def __init__(self, database: AsyncDatabase, *, search_bytes: int, tell: Tell | None = None) -> None:
        self._tell = tell or _tell_nobody
        self._database = database
        self._search_bytes = search_bytes
        self._months = Months(database)
        self._threads = DaemonThreads(_THREADS, "aiohttp-jobs-results")
        self._tasks = OwnedTasks("the results")
        self._upkeep: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._months.make_ahead(utc_now())
        self._upkeep = self._tasks.start(self._keep_up())

    async def close(self) -> None:
        if self._upkeep is not None:
            self._upkeep.cancel()
        await self._tasks.wait()
        self._threads.shutdown()

    async def keep(self, record: Mapping[str, Any], *, first: First | None = None, **with_it: Any) -> None:
        """Store the result of a job that has ended, durably; `with_it` are further arguments of `row_of`.

        `first` is awaited in the same transaction: if it raises, nothing is stored.

        Raises ``ValueError`` when `record` is not a result, and psycopg's ``UniqueViolation`` when its job
        has a result already, or had one.
        """
        row: ResultRow = await self._in_thread(partial(self.row_of, record, **with_it))
        for is_again in (False, True):
            await self._months.make(row.month)
            try:
                async with self._database.transaction() as connection:
                    if first is not None:
                        await first(connection)
                    await insert(connection, row)
                return
            except psycopg.errors.CheckViolation:
                # Its month was dropped a moment ago by another process.
                if is_again:
                    raise
                self._months.forget()

    def row_of(self, record: Mapping[str, Any], **with_it: Any) -> ResultRow:
        """The row of a result; `with_it` are further arguments of `result_rows.row_of`. Blocks."""
        return row_of(record, search_bytes=self._search_bytes, **with_it)

    async def make_month(self, month: int) -> None:
        """Create the partition of a month that an insert found missing."""
        self._months.forget()
        await self._months.make(month)

    async def page(
        self, wanted: ResultFilter, sort: Sort, cursor: str | None, limit: int, *, outputs: bool = False
    ) -> ResultPage:
        """A page of `limit` results after `cursor`, each with a ``Snippet`` if words are searched for.

        Raises `BadCursorError` and `TooSlowError`.
        """
        after = None if cursor is None else read_cursor(cursor, wanted, sort)
        found, following = await self._collect(wanted, sort, after, limit, outputs=outputs)
        return ResultPage(
            found, None if following is None else write_cursor(following, wanted, sort), indexing=False
        )

    async def statistics(self, wanted: StatsFilter) -> dict[str, Any]:
        """The ``stats`` of ``GET /results/stats``. Raises `TooSlowError`."""
        async with self._database.transaction() as connection:
            return await statistics.statistics(connection, wanted)

    async def kept_bytes(self, user_id: str) -> int:
        """The bytes of the user's results, including outputs that are stored beside them."""
        return int(one(await self._database.row(_KEPT, (storable(user_id),))))

    async def count(self) -> int:
        """The number of results of all users."""
        return int(one(await self._database.row(_COUNT)))

    async def owners(self, job_ids: Sequence[str]) -> dict[str, str]:
        """The user of each of `job_ids` that has a result."""
        found = await self._database.rows(_OWNERS, (job_uuids(job_ids),))
        return {str(job_id): user_id for _, job_id, user_id in found}

    async def delete(self, job_ids: Sequence[str]) -> int:
        """Delete results and everything stored with them; returns how many existed."""
        found = await self._database.rows(_OWNERS, (job_uuids(job_ids),))
        return await self._delete([row[0] for row in found])

    async def delete_matching(self, wanted: ResultFilter, limit: int) -> tuple[int, bool]:
        """Delete at most `limit` of the `wanted` results; returns how many, and whether there may be more.

        Raises `TooSlowError`.
        """
        if wanted.user_id is None:
            raise ValueError("results are deleted for one user")
        ids, more = await self._matching(wanted, limit)
        return await self._delete(ids), more

    async def delete_expired(self, rules: RetentionRules, limit: int) -> int:
        """Delete results that `rules` no longer keep, and return how many.

        At most `limit`, the oldest first, or whole months of any number.
        """
        if rules.age is not None:
            oldest = first_id(microseconds(utc_now() - timedelta(seconds=rules.age)))
            if dropped := await self._months.drop_before(oldest):
                async with self._database.transaction() as connection:
                    await self._tell(connection, None)
                return dropped
        async with self._database.transaction() as connection:
            gone = await delete_expired(connection, rules, utc_now(), limit)
            await self._tell(connection, gone)
        return len(gone)

    async def catch_up(self) -> None:
        """Return at once: changes by other processes are visible as soon as they are committed."""

    async def _delete(self, ids: Sequence[int]) -> int:
        if not ids:
            return 0
        async with self._database.transaction() as connection:
            gone = await delete_by_ids(connection, ids)
            await self._tell(connection, gone)
        return len(gone)

    async def _collect(
        self, wanted: ResultFilter, sort: Sort, after: Key | None, limit: int, *, outputs: bool
    ) -> tuple[list[bytes], Key | None]:
        """Up to `limit` results, and the key after which the next page starts."""
        found: list[tuple[Row, bytes | None]] = []
        is_exact = all_exact(wanted.terms)
        search = ResultSearch(self._database, wanted, sort, long=outputs or bool(wanted.terms))
        end = monotonic() + _SEARCH_SECONDS
        last: Key | None = None

        async def told() -> list[bytes]:
            texts = [text for _, text in found]
            if is_exact:  # those of all batches at once: a thread makes them
                texts = await self._texts([row for row, _ in found], wanted)
            return [text for text in texts if text is not None]

        async for batch in search.batches(after, limit + 1):
            # Candidates are more than a page, of which most have what is searched for, or few.
            for start in range(0, len(batch.rows), limit + 1):
                rows = batch.rows[start : start + limit + 1]
                texts = None if is_exact else await self._texts(rows, wanted)
                for number, row in enumerate(rows):
                    if len(found) == limit:
                        return await told(), last
                    last = row.key
                    if texts is None or texts[number] is not None:
                        found.append((row, None if texts is None else texts[number]))
            last = batch.reached or last
            if last is not None and monotonic() > end:
                return await told(), last
        return await told(), None

    async def _matching(self, wanted: ResultFilter, limit: int) -> tuple[list[int], bool]:
        """The ids of the first `limit` results that are `wanted`, and whether there may be more."""
        found: list[int] = []
        is_exact = all_exact(wanted.terms)
        search = ResultSearch(self._database, wanted, Sort.COMPLETED, long=not is_exact)
        end = monotonic() + _SEARCH_SECONDS
        async for batch in search.batches(None, limit + 1):
            texts = None if is_exact else await self._texts(batch.rows, wanted)
            for number, row in enumerate(batch.rows):
                if len(found) == limit:
                    return found, True
                if texts is None or texts[number] is not None:
                    found.append(int(row.key[-1]))
            if monotonic() > end:
                if not found:
                    raise TooSlowError
                return found, True
        return found, False

    async def _texts(self, rows: Sequence[Row], wanted: ResultFilter) -> list[bytes | None]:
        """The JSON text of each result; ``None`` for one without the terms that are searched for."""
        if not wanted.terms:
            return [_joined(row.record, row.long_fields.encode()) for row in rows]
        return await self._in_thread(self._searched, rows, wanted) if rows else []

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args))

    def _searched(self, rows: Sequence[Row], wanted: ResultFilter) -> list[bytes | None]:
        """The JSON texts, each with a snippet. Blocks."""
        texts = [
            searched_texts(
                {**loads(row.record.encode()), **loads(row.long_fields.encode())}, self._search_bytes
            )
            for row in rows
        ]
        have_terms = range(len(rows)) if all_exact(wanted.terms) else _among(texts, wanted)
        found: list[bytes | None] = []
        for number, (row, (name, command, output)) in enumerate(zip(rows, texts, strict=True)):
            if number in have_terms:
                quoted = {"Snippet": snippet(wanted.terms, (output, name, command))}
                found.append(_joined(row.record, dumps(quoted)))
            else:
                found.append(None)
        return found

    async def _keep_up(self) -> None:
        """Create the coming months, and merge the rows that count results, once a minute."""
        while True:
            await asyncio.sleep(_UPKEEP_SECONDS)
            try:
                await self._months.make_ahead(utc_now())
                async with self._database.transaction() as connection:
                    await put_amounts_together(connection)
            except (DatabaseUnavailableError, BusyError, TooSlowError) as error:
                _logger.warning("The results cannot be looked after now; trying again in a minute: %s", error)


async def _tell_nobody(_connection: AsyncConnection, _gone: Told | None) -> None:
    """The default of `tell`."""


def _among(texts: Sequence[Sequence[str]], wanted: ResultFilter) -> Container[int]:
    """The numbers of those with the wanted terms, of texts that have their words."""
    with TextSearch(phrases(wanted.terms)) as search:
        return search.among(texts)


def _joined(record: str, more: bytes) -> bytes:
    """Two JSON objects merged into one. The first is not empty."""
    text = record.encode()
    return text if more == b"{}" else text[:-1] + b"," + more[1:]
