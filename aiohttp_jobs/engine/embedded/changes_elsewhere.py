"""Tells of the jobs of other processes on the data folder, by looking at it twice a second while asked to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ...model.progress import Progress
from ...system.owned_tasks import OwnedTasks
from ...system.storage_state import StorageState
from ..base import JobChange
from .dispatcher import Dispatcher
from .job_states import elsewhere_state
from .job_store import JobStore, RunningElsewhere

_SECONDS = 0.5
_PROGRESS_SECONDS = 1.0
_logger = logging.getLogger(__name__)


class ChangesElsewhere:
    """Calls `tell` for each change that another process makes to its jobs and results.

    Costs nothing while nobody watches, and little where there is no other process.
    """

    def __init__(
        self,
        store: JobStore,
        dispatcher: Dispatcher,
        tell: Callable[[JobChange], None],
        storage: StorageState,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._tell = tell
        self._storage = storage
        self._running: dict[str, RunningElsewhere] = {}
        self._progress: dict[str, tuple[Progress | None, float]] = {}
        self._watchers = 0
        self._is_closed = False
        self._began: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._tasks = OwnedTasks("the look at other processes")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Inside the block `tell` is called. From its beginning on nothing is missed."""
        self._watchers += 1
        try:
            if self._is_closed:
                yield
                return
            if self._task is None or self._began is None:
                self._began = asyncio.get_running_loop().create_future()
                self._task = self._tasks.start(self._run(self._began))
            await asyncio.wait([self._began])
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._stop()

    async def close(self) -> None:
        """Stop, whoever watches."""
        self._is_closed = True
        self._stop()
        await self._tasks.wait()

    def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _run(self, began: asyncio.Future[None]) -> None:
        try:
            await self._look(is_first=True)
            began.set_result(None)
            while True:
                await asyncio.sleep(_SECONDS)
                await self._look(is_first=False)
        finally:
            if not began.done():
                began.set_result(None)

    async def _look(self, *, is_first: bool) -> None:
        try:
            news = await self._store.news(is_first=is_first)
            before, now = self._running, await self._dispatcher.catch_up()
            self._running = {job.submission.job_id: job for job in now}
            self._progress = {id_: told for id_, told in self._progress.items() if id_ in self._running}
            if is_first:
                return
            for job in now:
                is_other = _shown(before.get(job.submission.job_id)) != _shown(job)
                if self._has_progressed(job) or is_other:
                    state = elsewhere_state(job)
                    self._tell(JobChange(state.user_id, state.job_id, state=state))
            added = [change.job_id for change in news if not change.is_deleted]
            for job_id in dict.fromkeys([*(before.keys() - self._running.keys()), *added]):
                await self._tell_of_end(job_id)
            for change in news:
                if change.is_deleted:
                    self._tell(JobChange(change.user_id, change.job_id))
        except Exception as error:
            self._storage.report(error, _logger, "Cannot see what other processes run; trying again")

    def _has_progressed(self, job: RunningElsewhere) -> bool:
        """Whether to tell of its progress, which is done once a second at most."""
        job_id, now = job.submission.job_id, time.monotonic()
        told, at = self._progress.get(job_id, (None, now - _PROGRESS_SECONDS))
        if told == job.progress or now - at < _PROGRESS_SECONDS:
            return False
        self._progress[job_id] = job.progress, now
        return True

    async def _tell_of_end(self, job_id: str) -> None:
        if self._dispatcher.find(job_id) is None:
            record = await self._store.get_result(job_id)
            if record is not None:  # or else it goes on elsewhere, or was deleted
                self._tell(JobChange(str(record.get("UserID", "")), job_id, record=record))


def _shown(job: RunningElsewhere | None) -> tuple[int, bool] | None:
    return None if job is None else (job.submission.attempt, job.is_cancelling)
