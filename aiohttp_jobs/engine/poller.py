"""One periodic look for all parts of a process together, in one thread, because waking up is what costs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from ..errors import StorageUnavailableError
from .base import Follower

SELDOM_SECONDS = 30.0
"""How often a part that is polled need look by itself, in case that it was told nothing."""

_logger = logging.getLogger(__name__)


class Poller:
    """Every `interval` seconds, calls `look_soon` on those `parts` that have news.

    They are asked by `in_thread`, of a storage that may not answer.
    """

    def __init__(
        self,
        parts: Sequence[Follower],
        interval: float,
        in_thread: Callable[[Callable[[], list[Follower]]], Awaitable[list[Follower]]] = asyncio.to_thread,
    ) -> None:
        self._parts = parts
        self._interval = interval
        self._in_thread = in_thread
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name="aiohttp-jobs-poller")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                found = await self._in_thread(self._with_news)
            except StorageUnavailableError as error:
                _logger.debug("Cannot see whether there is something to do: %s", error)
                continue
            for part in found:
                part.look_soon()

    def _with_news(self) -> list[Follower]:
        return [part for part in self._parts if _has_news(part)]


def _has_news(part: Follower) -> bool:
    try:
        return part.has_news()
    except OSError:
        return True  # the part's own look tells what is wrong
    except Exception:
        _logger.exception("Cannot see whether there is something to do")
        return True
