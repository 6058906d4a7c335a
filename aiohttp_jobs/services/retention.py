"""Retention: a periodic task that deletes results which the configuration no longer keeps, oldest first."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ..config import JobsConfig
from ..engine.base import ResultRepository
from ..model.results import RetentionRules
from ..system.storage_state import StorageState

_BATCH = 200
_logger = logging.getLogger(__name__)


class Retention:
    """Applies the configuration's ``retention_…`` settings to `results`."""

    def __init__(self, config: JobsConfig, results: ResultRepository, storage: StorageState) -> None:
        self._results = results
        self._storage = storage
        self._interval = config.retention_interval
        self._rules = RetentionRules(
            age=config.retention_age,
            count_per_user=config.retention_count_per_user,
            count=config.retention_count,
            bytes_per_user=config.retention_bytes_per_user,
            bytes=config.retention_bytes,
        )
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        if not self._rules.keeps_all:
            self._task = asyncio.create_task(self._run(), name="aiohttp-jobs-retention")

    async def close(self) -> None:
        """Stop after the current batch at the latest; the next start continues."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def apply(self) -> int:
        """Delete all results that are no longer kept; return how many."""
        # What was deleted by hand must not count: a newer result would go in its place.
        await self._results.catch_up()
        deleted = 0
        while gone := await self._results.delete_expired(self._rules, _BATCH):
            deleted += gone
        return deleted

    async def _run(self) -> None:
        while True:
            try:
                if deleted := await self.apply():
                    _logger.info("Retention: %d results were deleted", deleted)
            except Exception as error:
                message = "Old results cannot be deleted; trying again in %g s"
                self._storage.report(error, _logger, message, self._interval)
            await asyncio.sleep(self._interval)
