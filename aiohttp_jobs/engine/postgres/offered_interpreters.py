"""Which interpreters jobs may ask for: those of this process, and those of all that live on its database.

Whether one of them has all that a job needs is left to ``offers``.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from ...model.job import InterpreterName
from .database import Database
from .offers import interpreters_in

_LOOK_SECONDS = 10.0
_OFFERED = """
SELECT DISTINCT offer FROM aiohttp_jobs.processes CROSS JOIN LATERAL unnest(offers) AS offer
WHERE heard_at > clock_timestamp() - %s * interval '1 s' AND offer LIKE 'interpreter %%'
"""


class OfferedInterpreters(Collection[InterpreterName]):
    """`own`, and what others offer as far as is known: as a `Follower` it looks every ten seconds."""

    def __init__(self, own: Collection[InterpreterName], database: Database, stall_seconds: float) -> None:
        self._own = frozenset(own)
        self._all = self._own
        self._database = database
        self._stall = stall_seconds
        self._next_look = float("-inf")

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[InterpreterName]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def has_news(self) -> bool:
        if time.monotonic() >= self._next_look:
            self.look()
        return False

    def look_soon(self) -> None:
        """There is nothing left to do."""

    def look(self) -> None:
        """Find out at once. Blocks."""
        self._next_look = time.monotonic() + _LOOK_SECONDS
        offers = [offer for (offer,) in self._database.rows(_OFFERED, (self._stall,))]
        self._all = self._own | interpreters_in(offers)
