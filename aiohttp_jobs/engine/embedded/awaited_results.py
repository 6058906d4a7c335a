"""Waits for the results of jobs in other processes on the same data folder."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ...system.storage_state import StorageState
from .job_store import JobStore

_SECONDS = 0.1
_SECONDS_FOR_EACH = 0.0005
_logger = logging.getLogger(__name__)


class AwaitedResults:
    """Polls for all awaited results together, at most ten times a second, and not at all while nobody waits.

    `store` says which jobs have ended.
    """

    def __init__(self, store: JobStore, storage: StorageState) -> None:
        self._store = store
        self._storage = storage
        self._ended: dict[str, asyncio.Future[None]] = {}
        self._waiting: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._look_task: asyncio.Task[None] | None = None
        self._is_closing = False

    @contextmanager
    def ended(self, job_id: str) -> Iterator[asyncio.Future[None]]:
        """A future that is done once the job has ended, even if its result is gone, or on closing.

        Wait for it within the block, with ``asyncio.wait``; several callers may wait for one job.
        """
        ended = self._ended.get(job_id)
        if ended is None:
            ended = self._ended[job_id] = asyncio.get_running_loop().create_future()
        if self._is_closing and not ended.done():
            ended.set_result(None)
        self._waiting[job_id] += 1
        self._look_later()
        try:
            yield ended
        finally:
            self._waiting[job_id] -= 1
            if not self._waiting[job_id]:
                del self._waiting[job_id], self._ended[job_id]

    def begin_closing(self) -> None:
        """Release everybody who waits."""
        self._is_closing = True
        for ended in self._ended.values():
            if not ended.done():
                ended.set_result(None)

    async def close(self) -> None:
        self.begin_closing()
        if self._timer is not None:
            self._timer.cancel()
        if self._look_task is not None:
            await self._look_task

    def _look_later(self) -> None:
        if self._timer is None and self._look_task is None and self._ended and not self._is_closing:
            # Thousands who wait are looked for less often: a look takes some microseconds for each.
            seconds = max(_SECONDS, _SECONDS_FOR_EACH * len(self._ended))
            self._timer = asyncio.get_running_loop().call_later(seconds, self._begin_look)

    def _begin_look(self) -> None:
        self._timer = None
        if self._ended:
            self._look_task = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        try:
            for job_id in await self._store.ended(list(self._ended)):
                ended = self._ended.get(job_id)
                if ended is not None and not ended.done():
                    ended.set_result(None)
        except OSError as error:
            self._storage.report(error, _logger, "Cannot look for results; trying again")
        finally:
            self._look_task = None
            self._look_later()
