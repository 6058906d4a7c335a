"""Limits how many long responses, such as event streams, are open at once, per user and in total.

``auth.streams`` ends streams whose callers have lost their rights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from ..errors import LimitReachedError
from .auth.middleware import identity_of


class OpenStreams:
    """Counts the open streams of this process: at most `most_per_user` of each user and `most` in total."""

    def __init__(self, most_per_user: int, most: int) -> None:
        self._most_per_user = most_per_user
        self._most = most
        self._open: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many streams are open, of all users."""
        return self._open.total()

    @contextmanager
    def one_more(self, user_id: str) -> Iterator[None]:
        """Count one stream while the block runs. Raises `LimitReachedError` when there are too many."""
        if self._open[user_id] >= self._most_per_user:
            raise _too_many("max_streams_per_user", self._most_per_user, self._open[user_id], of_all=False)
        if self._open.total() >= self._most:
            raise _too_many("max_streams", self._most, self._open.total(), of_all=True)
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]


OPEN_STREAMS: web.AppKey[OpenStreams] = web.AppKey("aiohttp_jobs.open_streams", OpenStreams)


@contextmanager
def open_stream(request: web.Request) -> Iterator[None]:
    """Count `request` as an open stream while the block runs.

    Raises `LimitReachedError`, so call it first.
    """
    with request.app[OPEN_STREAMS].one_more(identity_of(request).user_id):
        yield


def _too_many(setting: str, most: int, used: int, *, of_all: bool) -> LimitReachedError:
    return LimitReachedError(
        setting,
        most=most,
        used=used,
        what="streams, downloads and waiting requests open",
        advice="Close one, or try again in a moment.",
        of_all=of_all,
    )
