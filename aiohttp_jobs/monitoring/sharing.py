"""Publishes this process's counters to all others, and reads everybody's totals.

Also measures the event loop's delay. The engine stores the numbers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from ..engine.base import Engine, NumbersOfAll
from ..errors import StorageUnavailableError
from ..system.owned_tasks import end_tasks
from ..system.storage_state import StorageState
from ..system.threads import DaemonThreads
from .counting import JobCounts

_TICK_SECONDS = 0.5
_NEWS_TICKS, _IDLE_TICKS = 2, 20
_PATIENCE_SECONDS = 5.0
_logger = logging.getLogger(__name__)


class Sharing:
    """Publishes the numbers in `counts` and `present`, within about a second.

    What could not be published is published later, and counted once whatever became of the first try. The
    last second's counts of a killed process are lost.
    """

    def __init__(
        self,
        engine: Engine,
        counts: JobCounts,
        present: Callable[[], Mapping[str, float]],
        storage: StorageState,
    ) -> None:
        self._engine = engine
        self._counts = counts
        self._present = present
        self._storage = storage
        self._threads = DaemonThreads(1, "aiohttp-jobs-numbers")
        self._one_at_a_time = asyncio.Lock()
        self._turn = 0
        self._taken: dict[str, float] = {}
        self._is_unsure = False
        self._has_failed = False
        self._under_way: asyncio.Future[NumbersOfAll] | None = None
        self._loop_task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._loop_task = asyncio.create_task(self._run(), name="aiohttp-jobs-numbers")

    async def close(self) -> None:
        """Publish the remaining counts."""
        if self._loop_task is not None:
            await end_tasks({self._loop_task}, 0.0)
            await self._try_to_pass_on()
        self._threads.shutdown()

    async def of_all(self) -> NumbersOfAll:
        """The totals of all processes, including this one's so far, and the current values of each.

        Raises `StorageUnavailableError` when they cannot be read within some seconds, and ``OSError``.
        """
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._one_at_a_time:
                return await self._pass_on()
        except TimeoutError:
            raise StorageUnavailableError from None

    async def _run(self) -> None:
        clock, ticks = asyncio.get_running_loop().time, 0
        while True:
            due = clock() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            self._counts.lagged(clock() - due)
            ticks += 1
            if ticks >= (_NEWS_TICKS if self._counts.has_news else _IDLE_TICKS):
                ticks = 0
                await self._try_to_pass_on()

    async def _try_to_pass_on(self) -> None:
        try:
            await self.of_all()
            self._has_failed = False
        except Exception as error:
            if not self._has_failed:  # once, for as long as it goes on
                self._storage.report(error, _logger, "What was counted cannot be passed on; trying again")
            self._has_failed = True

    async def _pass_on(self) -> NumbersOfAll:
        if self._is_unsure:  # of the last try nobody knows what became of it
            await self._send()
        self._turn, self._taken, self._is_unsure = self._turn + 1, self._counts.take(), True
        return await self._send()

    async def _send(self) -> NumbersOfAll:
        """Pass on this turn's numbers, unless a thread is still at it."""
        if self._under_way is None or self._under_way.done():
            send = partial(self._engine.numbers.exchange, self._turn, self._taken, dict(self._present()))
            self._under_way = asyncio.get_running_loop().run_in_executor(self._threads, send)
        found = await asyncio.shield(self._under_way)
        self._is_unsure = False
        return found
