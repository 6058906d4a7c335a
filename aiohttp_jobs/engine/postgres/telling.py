"""Tells other processes what was done, once it is committed: hearing of it is left to ``events``.

PostgreSQL lets one transaction at a time commit that has told something, through the sync of its log. Told
afterwards, by a transaction that writes nothing, it holds up nobody; what is not told, as this process died
in between, the others find at their next look.
"""

from __future__ import annotations

import logging
import threading

from ...errors import BusyError
from .database import Database, DatabaseUnavailableError

CHANNEL = "aiohttp_jobs"
"""Where processes say what all have to hear: who says it, then ``work``, ``missed``, or ``job``, ``cancel``,
``watch``, ``deleted``, ``drain`` and an id; ``deleted`` with whose it was, ``job`` with the slot it takes.
Who hears of a ``job`` looks whether there is one to start."""
NEWS_CHANNEL = "aiohttp_jobs_news"
"""Where they say how jobs go on, ``progress`` or ``output`` and an id: for hosts, which somebody may watch.
A worker has no use for that, and would be woken by each for nothing."""
_NEWS = frozenset({"progress", "output"})
_TELL = """
SELECT pg_notify(channel, said) FROM unnest(%s::text[], %s::text[]) AS news (channel, said)
"""
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
        self._waiting: dict[tuple[str, str], None] = {}
        self._is_telling = False

    def note(self, what: str, about: str) -> None:
        """Have it told with whatever is told next; the same twice is told once. Does not block."""
        with self._guard:
            self._waiting[channel_of(what), f"{self._me} {what} {about}"] = None

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
            news, self._waiting = list(self._waiting), {}
            return news
