"""The open sessions, in the database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from ...errors import NotFoundError
from ...model.job import utc_now
from ...model.session import OpenSession, SessionRecord
from ..credentials import is_digest_of, new_session
from .database import Database
from .records import is_id

_ADD = """
INSERT INTO aiohttp_jobs.sessions (session_id, user_id, ends_at, record) VALUES (%s, %s, %s, %s::json)
"""
# The user's least recently used, beyond so many.
_END_OTHERS = """
DELETE FROM aiohttp_jobs.sessions WHERE session_id IN (
    SELECT session_id FROM aiohttp_jobs.sessions WHERE user_id = %s AND session_id <> %s
    ORDER BY used_at DESC OFFSET %s)
"""
_FIND = """
SELECT record, used_at < clock_timestamp() - interval '1 minute' FROM aiohttp_jobs.sessions
WHERE session_id = %s AND user_id = %s
"""
_USED = "UPDATE aiohttp_jobs.sessions SET used_at = clock_timestamp() WHERE session_id = %s"
_SWEEP = "DELETE FROM aiohttp_jobs.sessions WHERE ends_at < clock_timestamp()"


class PostgresSessions:
    """The `SessionRecords` in the database: of at most `max_age` seconds, and `most` for each user."""

    def __init__(self, database: Database, max_age: float, most: int) -> None:
        self.in_thread = database.in_thread
        self._database = database
        self._max_age = timedelta(seconds=max_age)
        self._most = most

    def open(self) -> None:
        """Delete expired sessions."""
        self._database.change(_SWEEP)

    def add(self, user_id: str, *, address: str = "", user_agent: str = "") -> tuple[SessionRecord, str]:
        """Start a session; return its record and its secret, which is not stored.

        If the user has more than `most` sessions then, the least recently used ones end.
        """
        record, secret = new_session(user_id, self._max_age, address=address, user_agent=user_agent)
        text = json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False)
        with self._database.transaction() as connection:
            connection.execute(_SWEEP)
            connection.execute(_ADD, (record.session_id, user_id, record.expires_at, text))
            connection.execute(_END_OTHERS, (user_id, record.session_id, self._most - 1))
        return record, secret

    async def find(self, user_id: str, session_id: str, secret: str) -> SessionRecord | None:
        """The open session with this id, if `secret` is its secret. Records its use, to the minute."""
        if not is_id(session_id):
            return None
        return await self.in_thread(self._find, user_id, session_id, secret)

    def all(self, user_id: str | None = None) -> list[OpenSession]:
        rows = self._database.rows(
            "SELECT record, used_at FROM aiohttp_jobs.sessions WHERE %s::text IS NULL OR user_id = %s",
            (user_id, user_id),
        )
        found = [
            OpenSession(session, used_at.astimezone(UTC))
            for record, used_at in rows
            if (session := self._open(record)) is not None
        ]
        return sorted(found, key=lambda each: each.record.signed_in_at, reverse=True)

    def owner_of(self, session_id: str) -> str:
        """Whose session that is. Raises `NotFoundError` when it is nobody's, or has ended."""
        row = None
        if is_id(session_id):
            row = self._database.row(
                "SELECT record FROM aiohttp_jobs.sessions WHERE session_id = %s", (session_id,)
            )
        session = None if row is None else self._open(row[0])
        if session is None:
            raise NotFoundError(f"There is no session {session_id}.")
        return session.user_id

    def revoke(self, user_id: str, session_id: str) -> bool:
        """End a session durably, for every process; false when it had ended already."""
        if not is_id(session_id):
            return False
        query = "DELETE FROM aiohttp_jobs.sessions WHERE user_id = %s AND session_id = %s"
        return self._database.change(query, (user_id, session_id)) == 1

    def revoke_all(self, user_id: str, keep: str | None = None) -> int:
        """End every session of a user, but `keep`; how many those were."""
        kept = keep if keep is not None and is_id(keep) else None
        query = (
            "DELETE FROM aiohttp_jobs.sessions WHERE user_id = %s AND session_id IS DISTINCT FROM %s::uuid"
        )
        return self._database.change(query, (user_id, kept))

    def _find(self, user_id: str, session_id: str, secret: str) -> SessionRecord | None:
        row = self._database.row(_FIND, (session_id, user_id))
        session = None if row is None else self._open(row[0])
        if row is None or session is None:
            return None
        if not is_digest_of(session.sha256, secret):
            return None
        if session.user_id != user_id or session.session_id != session_id:
            return None
        if row[1]:
            self._database.change(_USED, (session_id,))
        return session

    def _open(self, record: Any) -> SessionRecord | None:
        """The session of a row, unless it has ended: at the earlier of what was promised then and what is
        configured now."""
        try:
            session = SessionRecord.model_validate(record)
        except ValidationError:
            return None
        end: datetime = min(session.expires_at, session.signed_in_at + self._max_age)
        return session if utc_now() < end else None
