"""Notices in the database; prepared ones are rows of their own kind. All calls block.

``notify.delivery`` sends them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from typing import Any

from pydantic import ValidationError

from ...model.notice import Notice, NoticeState
from .database import Database
from .presence import Presence
from .records import RecordTable, missing

_SENDING = "sending notices"
_PREPARED = "prepared_notice"
_logger = logging.getLogger(__name__)

_PREPARE = """
INSERT INTO aiohttp_jobs.records (kind, record_id, user_id, changed_number, record)
VALUES (%s, %s, %s, 0, %s::json)
ON CONFLICT (kind, record_id) DO UPDATE SET record = excluded.record, kept_at = clock_timestamp()
"""
_WITHDRAW = "DELETE FROM aiohttp_jobs.records WHERE kind = %s AND record_id = ANY(%s::uuid[])"
_RELEASE = """
DELETE FROM aiohttp_jobs.records WHERE kind = %s AND record_id = %s RETURNING record
"""
_IS_OLD = """
SELECT record FROM aiohttp_jobs.records
WHERE kind = %s AND kept_at <= clock_timestamp() - %s * interval '1 s' ORDER BY kept_at
"""


class PostgresNotices:
    """The `NoticeRecords` in the database. All are cached in memory, without the data of their jobs."""

    def __init__(self, database: Database, presence: Presence) -> None:
        self.in_thread = database.in_thread
        self._database = database
        self._presence = presence
        self._table = RecordTable(database, "notice", _load_short)

    def open(self) -> None:
        """Do nothing: the database is open."""

    # --- before the job's result is kept

    def prepare(self, notice: Notice) -> None:
        text = json.dumps(notice.to_record(), ensure_ascii=False)
        self._database.change(_PREPARE, (_PREPARED, notice.notice_id, notice.user_id, text))

    def withdraw(self, notice_ids: Collection[str]) -> None:
        if notice_ids:
            self._database.change(_WITHDRAW, (_PREPARED, list(notice_ids)))

    def prepared(self, min_age: float) -> list[Notice]:
        rows = self._database.rows(_IS_OLD, (_PREPARED, min_age))
        return [notice for (record,) in rows if (notice := _load(record)) is not None]

    def release(self, notice_id: str) -> None:
        with self._table.changing() as change:
            found = change.connection.execute(_RELEASE, (_PREPARED, notice_id)).fetchone()
            notice = None if found is None else _load(found[0])
            # Not in place of one that has been released, and perhaps sent, before.
            if notice is not None and change.find(notice_id) is None:
                pending = notice.model_copy(update={"state": NoticeState.PENDING})
                change.put(notice_id, notice.user_id, pending.to_record())

    # --- afterwards

    def add(self, notice: Notice) -> None:
        with self._table.changing() as change:
            change.put(notice.notice_id, notice.user_id, notice.to_record())

    def all(self) -> list[Notice]:
        return sorted(self._table.items(), key=lambda each: (each.created_at, each.notice_id))

    def has_changed(self) -> bool:
        return self._table.has_changed() or bool(self.prepared(0))

    def get(self, notice_id: str) -> Notice:
        """The whole notice. Raises `NotFoundError`."""
        return _existing(notice_id, self._table.find(notice_id))

    def change(self, notice_id: str, change: Callable[[Notice], Notice]) -> Notice:
        with self._table.changing() as changing:
            changed = change(_existing(notice_id, changing.find(notice_id)))
            changing.put(notice_id, changed.user_id, changed.to_record())
            return changed

    def remove(self, notice_ids: Collection[str]) -> None:
        if notice_ids:
            with self._table.changing() as change:
                change.remove(*notice_ids)

    # --- other processes

    def lead(self) -> bool:
        return self._presence.lead(_SENDING)

    def step_down(self) -> None:
        self._presence.step_down(_SENDING)


def _existing(notice_id: str, found: dict[str, Any] | None) -> Notice:
    notice = None if found is None else _load(found)
    if notice is None:
        raise missing("notice", notice_id)
    return notice


def _load(record: Any) -> Notice | None:
    try:
        return Notice.model_validate(record)
    except ValidationError as error:
        # Without what pydantic says of the input: it may hold a private address.
        _logger.error("A notice in the database cannot be used: %s", error.errors()[0]["type"])
        return None


def _load_short(_notice_id: str, record: dict[str, Any]) -> Notice | None:
    notice = _load(record)
    return None if notice is None else notice.without_job()
