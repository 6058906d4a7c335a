"""Questions for outputs that other processes have on their disks, as rows, and the answers. All calls block.

Asking and answering at the right time is left to ``log_exchange``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from ...model.output import OutputPart
from ...system.signing import FIELD, Signer
from .database import Database
from .records import is_id

ANSWER_SECONDS = 15.0
"""How long a question is worth an answer. Who has died without a word is not waited for any longer."""
MOST_BYTES = 256 * 1024
"""In one answer."""
_MOST_OPEN = 64
_MOST_OF_USER = 8
_LONGEST_QUESTION = 2000
_ASK = """
SELECT aiohttp_jobs.ask_log_1(
    %(request_id)s, %(job_id)s, %(attempt)s, %(me)s, %(question)s::json, %(most_of_user)s, %(most)s,
    %(seconds)s, %(stall)s)
"""
# One of each user, so that nobody waits behind all of another's.
_OPEN = """
SELECT DISTINCT ON (user_id) request_id::text, question FROM aiohttp_jobs.log_requests
WHERE process_id = %s AND NOT is_answered AND asked_at > clock_timestamp() - %s * interval '1 s'
    AND octet_length(question::text) <= %s
ORDER BY user_id, asked_at LIMIT 64
"""
_ANSWER = """
WITH answered AS (
    UPDATE aiohttp_jobs.log_requests SET is_answered = true, start = %(start)s, data = %(data)s
    WHERE request_id = %(request_id)s AND process_id = %(me)s AND NOT is_answered RETURNING asker
) SELECT pg_notify('aiohttp_jobs_' || asker, %(me)s::text || ' answered ' || %(request_id)s::text)
FROM answered
"""
_FETCH = """
DELETE FROM aiohttp_jobs.log_requests WHERE request_id = %s AND is_answered RETURNING start, data
"""
_WAITS = """
SELECT aiohttp_jobs.is_alive_1(process_id, %s) FROM aiohttp_jobs.log_requests WHERE request_id = %s
"""
_DROP = "DELETE FROM aiohttp_jobs.log_requests WHERE request_id = %s"
_DROP_OLD = "DELETE FROM aiohttp_jobs.log_requests WHERE asked_at < clock_timestamp() - %s * interval '1 s'"
# Who asks takes the answers away, but their room is used again only after this.
_TIDY = "VACUUM (TRUNCATE false, SKIP_LOCKED) aiohttp_jobs.log_requests"


class Asked(StrEnum):
    """What became of a question. ``GONE``: nobody is there to answer it; ``BUSY``: too many are open."""

    ASKED = "asked"
    GONE = "gone"
    BUSY = "busy"


class Question(NamedTuple):
    """For `most` bytes of an attempt's output from `start` on; with 0, for the stretches that there are."""

    job_id: str
    attempt: int
    start: int
    most: int


class LogRequests:
    """Those of the process `me`, asked or answered. Questions are signed by `signer`."""

    def __init__(self, database: Database, me: str, signer: Signer, stall_seconds: float) -> None:
        self._database = database
        self._me = me
        self._signer = signer
        self._stall = stall_seconds
        self.in_thread = database.in_thread

    def ask(self, request_id: str, question: Question) -> Asked:
        """Ask whoever has it, once."""
        values = {
            "request_id": request_id,
            "job_id": question.job_id,
            "attempt": question.attempt,
            "me": self._me,
            "question": json.dumps(self._signer.sign(_record(request_id, question))),
            "most_of_user": _MOST_OF_USER,
            "most": _MOST_OPEN,
            "seconds": ANSWER_SECONDS,
            "stall": self._stall,
        }
        ((state,),) = self._database.rows(_ASK, values)
        return Asked(state)

    def fetch(self, request_id: str) -> OutputPart | None:
        """Take the answer away. ``None``: there is none yet.

        Raises ``LookupError`` when there will be none: nobody has that output, or it was not asked in time.
        """
        row = self._database.row(_FETCH, (request_id,))
        if row is None:
            waits = self._database.row(_WAITS, (self._stall, request_id))
            if waits is None or not waits[0]:
                raise LookupError(request_id)
            return None
        start, data = row
        if start is None:
            raise LookupError(request_id)
        return OutputPart(start, bytes(data or b""))

    def drop(self, request_id: str) -> None:
        """Nobody waits for the answer any more."""
        self._database.change(_DROP, (request_id,))

    def open_questions(self) -> list[tuple[str, Question | None]]:
        """What this process is asked now, one question of each user; ``None``: not by a host."""
        rows = self._database.rows(_OPEN, (self._me, ANSWER_SECONDS, _LONGEST_QUESTION))
        return [(request_id, self._read(request_id, record)) for request_id, record in rows]

    def answer(self, request_id: str, part: OutputPart | None) -> None:
        """``None``: there is no such output here. Does nothing when nobody waits for it any more."""
        values = {
            "request_id": request_id,
            "me": self._me,
            "start": None if part is None else part.offset,
            "data": None if part is None else part.data[:MOST_BYTES],
        }
        self._database.rows(_ANSWER, values)

    def drop_old(self) -> None:
        """Forget what nobody took away."""
        self._database.change(_DROP_OLD, (ANSWER_SECONDS,))

    def tidy(self) -> None:
        """Let the room be used again that answers have taken."""
        self._database.change(_TIDY)

    def _read(self, request_id: str, record: Any) -> Question | None:
        if not isinstance(record, dict) or not self._signer.is_valid(record):
            return None
        question = Question(record["JobID"], record["Attempt"], record["Start"], record["Most"])
        # A question of before, under another id, is none.
        is_same = {**_record(request_id, question), FIELD: record[FIELD]} == record
        return question if is_same and is_id(question.job_id) else None


def _record(request_id: str, question: Question) -> Mapping[str, Any]:
    return {
        "RequestID": request_id,
        "JobID": question.job_id,
        "Attempt": question.attempt,
        "Start": question.start,
        "Most": question.most,
    }
