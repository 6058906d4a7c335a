"""Converts a result to a row of ``results`` and inserts it. ``results_search`` finds rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ...model.job import LONG_FIELDS
from ...system.jsontext import dumps
from ..searching import (
    OWNER_MARK,
    IndexEntry,
    distinct_words,
    entry_of,
    id_bytes,
    ids_instead,
    ids_of_moment,
    indexed_text,
)
from .async_database import AsyncConnection
from .months import ids_of, month_of

_MOST_BYTES_OF_WORD = 1500
_MOST_BYTES_OF_WORDS = 900_000
"""PostgreSQL's own bounds are 2,046 bytes and one mebibyte, with all words of a result taken together."""

_INSERT = """
WITH printed AS (
    SELECT coalesce(sum(octet_length(data)), 0) AS size FROM aiohttp_jobs.output_chunks
    WHERE job_id = %(job_id)s
), kept AS (
    INSERT INTO aiohttp_jobs.results
    VALUES (%(id)s, %(job_id)s, %(user_id)s, %(name)s, %(status)s, %(mode)s, %(success)s, %(started)s,
        %(runtime)s, %(size)s + (SELECT size FROM printed), %(record)s::json, %(long_fields)s::json,
        %(earlier_attempts)s::json, %(submission)s::json, array_to_tsvector(%(words)s::text[]))
    ON CONFLICT DO NOTHING
    RETURNING id, size
), ended AS (
    INSERT INTO aiohttp_jobs.ended_jobs SELECT %(job_id)s, id FROM kept
), counted AS (
    INSERT INTO aiohttp_jobs.kept_amounts SELECT %(user_id)s, %(month)s, 1, size FROM kept
)
SELECT id FROM kept
"""
_TAKEN = "SELECT id FROM aiohttp_jobs.results WHERE id BETWEEN %s AND %s"


@dataclass(frozen=True, slots=True)
class ResultRow:
    """What is kept of one job that has ended; the values of `_INSERT`, but for the id."""

    wanted_id: int
    values: Mapping[str, Any]

    @property
    def month(self) -> int:
        """The number of the month whose partition it belongs to."""
        return month_of(self.wanted_id)


def row_of(
    record: Mapping[str, Any],
    *,
    search_bytes: int,
    earlier_attempts: Sequence[Mapping[str, Any]] = (),
    submission: Mapping[str, Any] | None = None,
) -> ResultRow:
    """The row of a result as it is stored. Costs time for its words: not for the event loop.

    `earlier_attempts` are the results of the attempts before. What was printed beside them is counted by
    `insert`. Raises ``ValueError`` when `record` is no result.
    """
    texts = {
        "record": dumps({name: value for name, value in record.items() if name not in LONG_FIELDS}).decode(),
        "long_fields": dumps({name: record[name] for name in LONG_FIELDS if name in record}).decode(),
        "earlier_attempts": dumps(list(earlier_attempts)).decode() if earlier_attempts else None,
        "submission": None if submission is None else dumps(submission).decode(),
    }
    size = sum(len(text.encode()) for text in texts.values() if text is not None)
    entry = entry_of(record, size=size, search_bytes=search_bytes)
    if entry is None:
        raise ValueError("that is no result")
    return ResultRow(entry.id, texts | _facts(entry) | {"words": list(_words(entry))})


async def insert(connection: AsyncConnection, row: ResultRow) -> None:
    """Put a row into the table, whose month has to be there.

    Raises psycopg's ``UniqueViolation`` when its job has ended already.
    """
    first, end = ids_of(row.month)
    if await _is_put(connection, row, row.wanted_id):
        return
    moment = ids_of_moment(row.wanted_id)
    taken = await (await connection.execute(_TAKEN, (moment[0], moment[-1]))).fetchall()
    for result_id in ids_instead(row.wanted_id, {taken_id for (taken_id,) in taken}):
        if await _is_put(connection, row, min(max(result_id, first), end - 1)):
            return


async def _is_put(connection: AsyncConnection, row: ResultRow, result_id: int) -> bool:
    """Put it there, unless another has that id."""
    values = {**row.values, "id": result_id, "month": ids_of(row.month)[0]}
    return await (await connection.execute(_INSERT, values)).fetchone() is not None


def storable(text: str) -> str:
    """`text` as the database takes it: without lone surrogates, and without the character of no meaning."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def word_in_index(text: str) -> str:
    """A word as it is in the table: the beginning of a very long one."""
    data = text.encode()
    return text if len(data) <= _MOST_BYTES_OF_WORD else data[:_MOST_BYTES_OF_WORD].decode("utf-8", "ignore")


def owner_word(user_id: str) -> str:
    """The word that says whose a result is."""
    return word_in_index(f"{OWNER_MARK}{storable(user_id)}")


def job_uuids(job_ids: Sequence[str]) -> list[UUID]:
    """Job ids as the database has them, without what is none."""
    found: list[UUID] = []
    for job_id in job_ids:
        with contextlib.suppress(ValueError):
            found.append(UUID(bytes=id_bytes(job_id)))
    return found


def _facts(entry: IndexEntry) -> dict[str, Any]:
    return {
        "job_id": UUID(bytes=entry.job_id),
        "user_id": storable(entry.user_id),
        "name": storable(entry.name),
        "status": storable(entry.status),
        "mode": storable(entry.mode),
        "success": entry.success,
        "started": entry.started,
        "runtime": entry.runtime,
        "size": entry.size,
    }


def _words(entry: IndexEntry) -> Iterator[str]:
    yield owner_word(entry.user_id)
    left = _MOST_BYTES_OF_WORDS
    for word in distinct_words(indexed_text(entry)):
        kept = word_in_index(word)
        left -= len(kept.encode())
        if left < 0:
            return
        yield kept
