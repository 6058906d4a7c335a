"""Records in the database: schedules and templates, and the table that notices and API keys share. All calls
block.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from ...errors import NotFoundError, TooManyKeptError
from ...model.field_faults import what_is_wrong
from ...system.signing import Signer
from ..base import Record
from .database import Database
from .migrations import Connection

T = TypeVar("T")
R = TypeVar("R", bound=Record)
_logger = logging.getLogger(__name__)

_NEWS = """
SELECT k.number, k.removed_number, r.record_id, r.record
FROM aiohttp_jobs.record_kinds k
LEFT JOIN aiohttp_jobs.records r ON r.kind = k.kind AND r.changed_number > %(seen)s
WHERE k.kind = %(kind)s
"""
NUMBER = "SELECT number FROM aiohttp_jobs.record_kinds WHERE kind = %s"
"""How often the records of a kind were changed."""
_IDS = "SELECT record_id FROM aiohttp_jobs.records WHERE kind = %s"
_NEXT = "UPDATE aiohttp_jobs.record_kinds SET number = number + 1 WHERE kind = %s RETURNING number"
_ADD = """
INSERT INTO aiohttp_jobs.records (kind, record_id, user_id, changed_number, record)
VALUES (%s, %s, %s, %s, %s::json)
ON CONFLICT (kind, record_id) DO UPDATE
SET user_id = excluded.user_id, changed_number = excluded.changed_number, record = excluded.record
"""
_REMOVE = "DELETE FROM aiohttp_jobs.records WHERE kind = %s AND record_id = ANY(%s::uuid[])"
_REMOVED = "UPDATE aiohttp_jobs.record_kinds SET removed_number = number WHERE kind = %s"


class RecordTable(Generic[T]):
    """The rows of one `kind`, cached in every process, and read again when they have changed.

    `load` converts a row's JSON object to what is cached; ``None`` for one that is not to be used.
    """

    def __init__(
        self, database: Database, kind: str, load: Callable[[str, dict[str, Any]], T | None]
    ) -> None:
        self.kind = kind
        self._database = database
        self._load = load
        self._guard = Lock()
        self._items: dict[str, T] = {}
        self._seen = 0

    @property
    def seen(self) -> int:
        """How often rows had been changed when they were read last."""
        return self._seen

    def items(self) -> list[T]:
        """The current rows, in no order. One statement, which returns no rows when nothing has changed."""
        with self._guard:
            news = self._database.rows(_NEWS, {"kind": self.kind, "seen": self._seen})
            number, removed, *_ = news[0]
            if removed > self._seen:
                left = {str(record_id) for (record_id,) in self._database.rows(_IDS, (self.kind,))}
                self._items = {key: item for key, item in self._items.items() if key in left}
            for _, _, record_id, record in news:
                if record_id is not None:
                    self._take_in(str(record_id), record)
            self._seen = number
            return list(self._items.values())

    def has_changed(self) -> bool:
        """Whether `items` would find anything new."""
        row = self._database.row(NUMBER, (self.kind,))
        return row is not None and row[0] != self._seen

    def find(self, record_id: str) -> dict[str, Any] | None:
        """The JSON object of one row; ``None`` when there is none."""
        if not is_id(record_id):
            return None
        row = self._database.row(
            "SELECT record FROM aiohttp_jobs.records WHERE kind = %s AND record_id = %s",
            (self.kind, record_id),
        )
        return None if row is None else row[0]

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """Change rows atomically over all threads and processes; committed when the block ends. Raises
        `BusyError`.
        """
        with self._database.transaction() as connection:
            (number,) = connection.execute(_NEXT, (self.kind,)).fetchone() or (0,)
            yield Change(connection, self.kind, number)

    def _take_in(self, record_id: str, record: Any) -> None:
        loaded = self._load(record_id, record) if isinstance(record, dict) else None
        if loaded is None:
            self._items.pop(record_id, None)
        else:
            self._items[record_id] = loaded


class Change:
    """One change of the rows of a kind, within a transaction."""

    def __init__(self, connection: Connection, kind: str, number: int) -> None:
        self.connection = connection
        self._kind = kind
        self._number = number

    def find(self, record_id: str) -> dict[str, Any] | None:
        """The JSON object of one row; ``None`` when there is none."""
        if not is_id(record_id):
            return None
        row = self.connection.execute(
            "SELECT record FROM aiohttp_jobs.records WHERE kind = %s AND record_id = %s",
            (self._kind, record_id),
        ).fetchone()
        return None if row is None else row[0]

    def count(self, user_id: str) -> tuple[int, int]:
        """How many rows the user has, and how many there are."""
        row = self.connection.execute(
            "SELECT count(*) FILTER (WHERE user_id = %s), count(*) FROM aiohttp_jobs.records WHERE kind = %s",
            (user_id, self._kind),
        ).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def put(self, record_id: str, user_id: str, record: Mapping[str, Any]) -> None:
        """Insert or replace a row."""
        text = json.dumps(record, ensure_ascii=False)
        self.connection.execute(_ADD, (self._kind, record_id, user_id, self._number, text))

    def remove(self, *record_ids: str) -> int:
        """Delete these rows; return how many existed."""
        removed = self.connection.execute(_REMOVE, (self._kind, list(record_ids))).rowcount
        self.connection.execute(_REMOVED, (self._kind,))
        return removed


class PostgresRecords(Generic[R]):
    """A `RecordStore` of signed rows. A row that was not signed with the installation's key is ignored,
    because it would run with its owner's rights.
    """

    def __init__(
        self, database: Database, noun: str, signer: Signer, read: Callable[[dict[str, Any]], R]
    ) -> None:
        self.in_thread = database.in_thread
        self._noun = noun
        self._signer = signer
        self._read = read
        self._table = RecordTable(database, noun, self._load)

    def all(self) -> list[R]:
        return sorted(self._table.items(), key=lambda each: (each.created_at, each.record_id))

    def has_changed(self) -> bool:
        return self._table.has_changed()

    def get(self, record_id: str) -> R:
        """The record with this id. Raises `NotFoundError`."""
        return self._existing(record_id, self._table.find(record_id))

    def add(self, record: R, most_per_user: int | None = None, most: int | None = None) -> None:
        with self._table.changing() as change:
            mine, kept = change.count(record.user_id)
            if most_per_user is not None and mine >= most_per_user:
                raise self._too_many("_per_user", most_per_user, mine)
            if most is not None and kept >= most:
                raise self._too_many("", most, kept, of_all=True)
            self._put(change, record)

    def change(self, record_id: str, change: Callable[[R], R]) -> R:
        with self._table.changing() as changing:
            changed = change(self._existing(record_id, changing.find(record_id)))
            self._put(changing, changed)
            return changed

    def remove(self, record_id: str) -> None:
        with self._table.changing() as changing:
            self._existing(record_id, changing.find(record_id))
            changing.remove(record_id)

    def _put(self, change: Change, record: R) -> None:
        change.put(record.record_id, record.user_id, self._signer.sign(record.to_record()))

    def _existing(self, record_id: str, found: dict[str, Any] | None) -> R:
        record = None if found is None else self._load(record_id, found)
        if record is None:
            raise missing(self._noun, record_id)
        return record

    def _load(self, record_id: str, found: dict[str, Any]) -> R | None:
        if not self._signer.is_valid(found):
            _logger.error(
                "The %s %s in the database was not written by a host; it is not used", self._noun, record_id
            )
            return None
        try:
            record = self._read(found)
        except ValidationError as error:
            reason = what_is_wrong(error.errors()[0])
            _logger.error("The %s %s in the database cannot be used: %s", self._noun, record_id, reason)
            return None
        return record if record.record_id == record_id else None

    def _too_many(self, scope: str, most: int, used: int, *, of_all: bool = False) -> TooManyKeptError:
        nouns = f"{self._noun}s"
        return TooManyKeptError(
            f"max_{nouns}{scope}", most=most, used=used, what=nouns, advice="Delete one first.", of_all=of_all
        )


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in canonical form, as records have it."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def missing(noun: str, record_id: str) -> NotFoundError:
    """The error for a record that does not exist."""
    return NotFoundError(f"There is no {noun} {record_id}.")
