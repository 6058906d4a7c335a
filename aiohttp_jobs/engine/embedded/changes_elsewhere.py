"""Publishes changes of jobs in other processes on the data folder, by polling it twice a second while
watched.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from ...model.progress import Progress
from ...system.owned_tasks import OwnedTasks
from ...system.storage_state import StorageState
from ..base import MISSED, JobChange
from .dispatcher import Dispatcher
from .findings import News, NewsMark, RunningElsewhere
from .job_states import elsewhere_state
from .store import FileSystemStore

_SECONDS = 0.5
_PROGRESS_SECONDS = 1.0
_logger = logging.getLogger(__name__)


class _Seen(NamedTuple):
    """What the last look found, and told: how far the news go, and the jobs that others ran."""

    mark: NewsMark
    running: Mapping[str, RunningElsewhere]


class ChangesElsewhere:
    """Calls `tell` for each change that another process makes to its jobs and results.

    Costs nothing while nobody watches, and little while there is no other process.
    """

    def __init__(
        self,
        store: FileSystemStore,
        dispatcher: Dispatcher,
        tell: Callable[[JobChange], None],
        storage: StorageState,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._tell = tell
        self._storage = storage
        self._seen: _Seen | None = None
        self._departed: dict[str, str] = {}
        self._progress: dict[str, tuple[Progress | None, float]] = {}
        self._watchers = 0
        self._is_closed = False
        self._began: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._tasks = OwnedTasks("the look at other processes")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Call `tell` while the block runs; nothing is missed from its beginning on."""
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

    def departed(self, user_id: str, job_id: str) -> None:
        """A job that waited here went to another process, which may have told of its end by now."""
        if self._watchers:
            self._departed[job_id] = user_id

    async def close(self) -> None:
        """Stop, even if somebody watches."""
        self._is_closed = True
        self._stop()
        await self._tasks.wait()

    def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _run(self, began: asyncio.Future[None]) -> None:
        self._seen = None
        self._departed.clear()
        try:
            await self._look()
            began.set_result(None)
            while True:
                await asyncio.sleep(_SECONDS)
                was_blind = self._seen is None
                await self._look()
                if was_blind and self._seen is not None:
                    self._tell(MISSED)
        finally:
            if not began.done():
                began.set_result(None)

    async def _look(self) -> None:
        """Tell what has changed since the last look. When that fails, the next tells it."""
        try:
            before = self._seen
            news = await self._store.news(None if before is None else before.mark)
            departed = dict(self._departed)
            running = {job.submission.job_id: job for job in await self._dispatcher.catch_up()}
            if before is not None:
                await self._tell_of(before.running, running, news, departed)
            self._seen = _Seen(news.mark, running)
            for job_id in departed:
                self._departed.pop(job_id, None)
        except Exception as error:
            self._storage.report(error, _logger, "Cannot see what other processes run; trying again")

    async def _tell_of(
        self,
        before: Mapping[str, RunningElsewhere],
        running: Mapping[str, RunningElsewhere],
        news: News,
        departed: Mapping[str, str],
    ) -> None:
        self._progress = {id_: told for id_, told in self._progress.items() if id_ in running}
        for job_id, job in running.items():
            is_other = _shown(before.get(job_id)) != _shown(job)
            if self._has_progressed(job) or is_other:
                state = elsewhere_state(job)
                self._tell(JobChange(state.job.user_id, state.job.job_id, state=state))
        added = [change.job_id for change in news.items if not change.is_deleted]
        for job_id in dict.fromkeys([*(before.keys() - running.keys()), *added]):
            await self._tell_of_end(job_id)
        for change in news.items:
            if change.is_deleted:
                self._tell(JobChange(change.user_id, change.job_id))
        # Last: whoever watches was told that these wait here, perhaps after the news of their end.
        for job_id, user_id in departed.items():
            if job_id not in running and not await self._tell_of_end(job_id):
                await self._tell_if_gone(user_id, job_id)
        if not news.is_whole:
            self._tell(MISSED)

    def _has_progressed(self, job: RunningElsewhere) -> bool:
        """Whether to tell of its progress, which is done once a second at most."""
        job_id, now = job.submission.job_id, time.monotonic()
        told, at = self._progress.get(job_id, (None, now - _PROGRESS_SECONDS))
        if told == job.progress or now - at < _PROGRESS_SECONDS:
            return False
        self._progress[job_id] = job.progress, now
        return True

    async def _tell_of_end(self, job_id: str) -> bool:
        """Tell of its result, if there is one: or else it goes on elsewhere, or was deleted."""
        if self._dispatcher.find(job_id) is not None:
            return True  # by this process, when it ends or departs
        record = await self._store.get_result(job_id)
        if record is not None:
            self._tell(JobChange(str(record.get("UserID", "")), job_id, record=record))
        return record is not None

    async def _tell_if_gone(self, user_id: str, job_id: str) -> None:
        """Tell that a job's result was deleted, if it waits and runs nowhere."""
        if await self._store.locate(job_id) is None and not await self._tell_of_end(job_id):
            self._tell(JobChange(user_id, job_id))


def _shown(job: RunningElsewhere | None) -> tuple[int, bool] | None:
    return None if job is None else (job.submission.attempt, job.is_cancelling)
