"""Receives the notifications of other processes (PostgreSQL's LISTEN); most are sent by ``telling``."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import psycopg
from psycopg import sql

from .async_database import AsyncConnection
from .expiry import Told
from .telling import CHANNEL, NEWS_CHANNEL, own_channel

_LOOK_SECONDS = 0.5
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_ALL = "all"
"""Stands in place of the sender's id in a notification that the sender is to receive too."""
_MOST_NAMED = 1000
_logger = logging.getLogger(__name__)

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


class Ear:
    """Receives the notifications of all processes but `me`, in its own thread and over its own connection.

    If the connection is lost, notifications may be missed, so `hear` is called with ``gap`` once it is
    restored. Without `with_news`, those about the progress of jobs are not received.
    """

    def __init__(self, dsn: str, me: str, hear: Hear, *, with_news: bool = True) -> None:
        self._dsn = dsn
        self._channels = (CHANNEL, own_channel(me), *([NEWS_CHANNEL] if with_news else []))
        self._me = me
        self._hear = hear
        self._closing = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="aiohttp-jobs-events", daemon=True)

    async def open(self) -> None:
        """Start to listen. Returns once every later notification is received, or after 5 seconds."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        if not await asyncio.to_thread(self._listening.wait, _LONGEST_PAUSE_SECONDS):
            self._listening.set()  # so that it is a gap until then

    async def close(self) -> None:
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    def _listen(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._closing.is_set():
            try:
                with psycopg.connect(
                    self._dsn, autocommit=True, connect_timeout=10, application_name="aiohttp-jobs events"
                ) as connection:
                    for channel in self._channels:
                        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    if self._listening.is_set():
                        self._tell("gap")
                    self._listening.set()
                    pause = _FIRST_PAUSE_SECONDS
                    self._follow(connection)
            except psycopg.Error as error:
                if not self._closing.is_set():
                    _logger.warning("What other processes say cannot be heard at the moment: %s", error)
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _follow(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        while not self._closing.is_set():
            for said in connection.notifies(timeout=_LOOK_SECONDS):
                sender, _, news = said.payload.partition(" ")
                if said.channel in self._channels and sender != self._me:
                    self._tell(*news.split(" ", 2))
                if self._closing.is_set():
                    return

    def _tell(self, what: str, job_id: str = "", more: str = "") -> None:
        try:
            self._loop.call_soon_threadsafe(self._hear, what, job_id, more)
        except RuntimeError:  # the loop is closed: nobody is there to hear
            self._closing.set()
