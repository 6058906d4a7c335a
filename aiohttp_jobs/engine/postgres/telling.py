"""Notifies other processes of what was committed (PostgreSQL's NOTIFY); receiving is left to ``events``.

PostgreSQL lets one transaction at a time commit that has told something, through the sync of its log. Told
afterwards, by a transaction that writes nothing, it holds up nobody; what is not told, as this process died
in between, the others find at their next look.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from ...errors import BusyError
from ...system.jsontext import dumps, loads
from ...system.signing import FIELD, Signer
from .database import Database, DatabaseUnavailableError

CHANNEL = "aiohttp_jobs"
"""Where processes say what all have to hear: who says it, then ``work``, ``missed``, or ``job``, ``cancel``,
``watch``, ``deleted``, ``drain`` and an id; ``deleted`` with whose it was, ``job`` with the slot it takes.
Who hears of a ``job`` looks whether there is one to start."""
NEWS_CHANNEL = "aiohttp_jobs_news"
"""Where they say how jobs go on, ``progress`` or ``output`` and an id: for hosts, which somebody may watch.
After ``progress`` and the id there may be the job's result, as `ToldResults` writes it. A worker has no use
for all that, and would be woken by each for nothing."""
_NEWS = frozenset({"progress", "output"})
_TELL = """
SELECT pg_notify(channel, said) FROM unnest(%s::text[], %s::text[]) AS news (channel, said)
"""
_MOST_BYTES = 4000
"""Of a result that is told: PostgreSQL takes 7,999 bytes at once, and all hosts read them."""
_logger = logging.getLogger(__name__)


def own_channel(process_id: str) -> str:
    """Where one process hears what only it has to: ``asked`` and ``answered``, and a question's id."""
    return f"{CHANNEL}_{process_id}"


def channel_of(what: str) -> str:
    """Where `what` is said."""
    return NEWS_CHANNEL if what in _NEWS else CHANNEL


class Teller:
    """Tells for the process `me`. May be used in any thread."""

    def __init__(self, database: Database, me: str) -> None:
        self._database = database
        self._me = me
        self._guard = threading.Lock()
        self._waiting: dict[tuple[str, str], str] = {}
        self._waiting_since = 0.0
        self._is_telling = False

    def note(self, what: str, about: str, more: str = "") -> None:
        """Have it told with whatever is told next, `more` behind it. Does not block.

        Of the same twice, only the last is told.
        """
        with self._guard:
            if not self._waiting:
                self._waiting_since = time.monotonic()
            self._waiting[channel_of(what), f"{self._me} {what} {about}"] = more

    def end_of(self, job_id: str, told_result: str, *, lets_start: bool) -> list[tuple[str, str]]:
        """What tells the others that a job has ended, and where; with its result as `ToldResults` writes it.

        With `lets_start`, they look for a job that may start now. What was noted of its progress is not told.
        """
        ended = NEWS_CHANNEL, f"{self._me} progress {job_id}"
        with self._guard:
            self._waiting.pop(ended, None)
        news = [(ended[0], f"{ended[1]} {told_result}".rstrip())]
        return [(CHANNEL, f"{self._me} job {job_id}"), *news] if lets_start else news

    def waiting_since(self) -> float | None:
        """Since when, by the monotonic clock, the oldest note waits to be told; ``None`` if there is none."""
        with self._guard:
            return self._waiting_since if self._waiting else None

    def tell(self) -> None:
        """Tell what was noted, all of it at once. Blocks, unless another thread is telling already.

        That one tells what has come up meanwhile, too. Does not fail.
        """
        while (news := self._next()) is not None:
            try:
                self._database.rows(_TELL, ([channel for channel, _ in news], [said for _, said in news]))
            except (DatabaseUnavailableError, BusyError) as error:
                _logger.debug("Others cannot be told at the moment, and will look: %s", error)
            finally:
                self._is_telling = False

    def _next(self) -> list[tuple[str, str]] | None:
        with self._guard:
            if self._is_telling or not self._waiting:
                return None
            self._is_telling = True
            news = [(channel, f"{said} {more}".rstrip()) for (channel, said), more in self._waiting.items()]
            self._waiting = {}
            return news


class ToldResults:
    """Small results, as they are told to whoever waits for them, so that nobody has to read them.

    They are signed, because every role of the database may say what it likes on any channel.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def text(self, record: Mapping[str, Any]) -> str:
        """What is told of a stored result; empty when it is too long."""
        # Without a look at each character of what is too long anyway.
        if len(record.get("Output", "")) + len(record.get("Command", "")) > _MOST_BYTES:
            return ""
        text = dumps(self._signer.sign(record))
        return text.decode() if len(text) <= _MOST_BYTES else ""

    def read(self, job_id: str, text: str) -> dict[str, Any] | None:
        """The result of the job that was told so; ``None`` when it is none that a host or worker stored."""
        try:
            record = loads(text.encode())
        except ValueError:
            return None
        if not isinstance(record, dict) or not self._signer.is_valid(record) or record.get("JobID") != job_id:
            return None
        del record[FIELD]
        return record
