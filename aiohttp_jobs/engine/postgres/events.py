"""Receives the notifications of other processes (PostgreSQL's LISTEN); most are sent by ``telling``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo

from .async_database import AsyncConnection
from .database import KEEP_ALIVE
from .expiry import Told
from .telling import CHANNEL, NEWS_CHANNEL, own_channel

_ASLEEP_SECONDS = 3600.0
"""How long one wait for the server is at most, after which there is another: psycopg wakes ten times a second
otherwise, for an interrupt that the event loop has its own way for."""
_CONNECT_SECONDS = 10
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_ALL = "all"
"""Stands in place of the sender's id in a notification that the sender is to receive too."""
_MOST_NAMED = 1000
_logger = logging.getLogger(__name__)
T = TypeVar("T")

Hear = Callable[[str, str, str], None]
"""Called in the event loop for each notification with its parts: what happened (see ``telling``), the id that
it is about, and the rest of its text. The last two may be empty."""


async def tell_deleted(connection: AsyncConnection, gone: Told | None) -> None:
    """Notify all processes, including this one, that results were deleted; ``None``: too many to list them.

    Sent when the transaction of `connection` commits.
    """
    if gone is None or len(gone) > _MOST_NAMED:
        news = [f"{_ALL} missed"]
    else:
        news = [f"{_ALL} deleted {job_id} {user_id}" for job_id, user_id in gone]
    if news:
        await connection.execute("SELECT pg_notify(%s, said) FROM unnest(%s::text[]) said", (CHANNEL, news))


class _Listening(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection that wakes nobody while the server sends nothing."""

    async def wait(self, gen: PQGen[T], interval: float = _ASLEEP_SECONDS, *more: Any, **named: Any) -> T:
        # psycopg 3.2 has no more to say, 3.3 a time limit.
        return await super().wait(gen, _ASLEEP_SECONDS, *more, **named)


class Listener:
    """Receives the notifications of all processes but `me`, in the event loop and over its own connection.

    If the connection is lost, notifications may be missed, so `hear` is called with ``gap`` once it is
    restored. Without `with_news`, those about the progress of jobs are not received.
    """

    def __init__(self, dsn: str, me: str, hear: Hear, *, with_news: bool = True) -> None:
        self._dsn = dsn
        self._channels = (CHANNEL, own_channel(me), *([NEWS_CHANNEL] if with_news else []))
        self._me = me
        self._hear = hear
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start to listen. Returns once every later notification is received, or after 5 seconds."""
        self._task = asyncio.create_task(self._listen(), name="aiohttp-jobs-events")
        try:
            async with asyncio.timeout(_LONGEST_PAUSE_SECONDS):
                await self._listening.wait()
        except TimeoutError:
            self._listening.set()  # so that it is a gap until then

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with await self._connected() as connection:
                    for channel in self._channels:
                        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    if self._listening.is_set():
                        self._tell("gap")
                    self._listening.set()
                    pause = _FIRST_PAUSE_SECONDS
                    await self._follow(connection)
            except (psycopg.Error, OSError) as error:
                _logger.warning("What other processes say cannot be heard at the moment: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _connected(self) -> _Listening:
        return await _Listening.connect(
            # It asks for nothing, and so would never find out that the server has gone.
            make_conninfo(self._dsn, **KEEP_ALIVE),
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="aiohttp-jobs events",
        )

    async def _follow(self, connection: _Listening) -> None:
        async for said in connection.notifies():
            sender, _, news = said.payload.partition(" ")
            if said.channel in self._channels and sender != self._me:
                self._tell(*news.split(" ", 2))

    def _tell(self, what: str, job_id: str = "", more: str = "") -> None:
        try:
            self._hear(what, job_id, more)
        except Exception:
            _logger.exception("What another process said could not be dealt with")
