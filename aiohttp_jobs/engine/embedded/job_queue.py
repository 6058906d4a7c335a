"""JobQueue of one data folder: this process's jobs from its dispatcher, the others' from
``files.other_processes``; and waiting for the ends of those.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ...errors import TooManyPendingError
from ...model.job import JobPhase, Submission, utc_now
from ...system.storage_state import StorageState
from ...worker.base import WarmWorker
from ..base import FoundJob, JobChange, JobQuery, JobState, MostWaiting, QueueSummary, StopReason, WorkerState
from ..running.active import ActiveJob, JobChanges, settle
from ..running.states import worker_states
from .changes_elsewhere import ChangesElsewhere
from .dispatcher import Dispatcher
from .findings import RunningElsewhere
from .job_states import elsewhere_state, located_state
from .queue import PendingJob
from .store import FileSystemStore

_LOOK_SECONDS = 0.1
_LOOK_SECONDS_FOR_EACH = 0.0005
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _BeingAdded:
    """How many jobs of one user are being accepted, and how many bytes their commands have."""

    jobs: int = 0
    size: int = 0


_NONE_ADDED = _BeingAdded()


class EmbeddedJobQueue:
    """The jobs of all processes on the folder of `store`; `dispatcher` runs this process's."""

    def __init__(
        self,
        store: FileSystemStore,
        dispatcher: Dispatcher,
        changes: JobChanges,
        awaited: AwaitedResults,
        warm_workers: Callable[[], list[WarmWorker]],
        storage: StorageState,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._waiting = dispatcher.queue
        self._changes = changes
        self._awaited = awaited
        self._warm_workers = warm_workers
        self._changes_elsewhere = ChangesElsewhere(store, dispatcher, changes.tell, storage)
        changes.on_departed = self._changes_elsewhere.departed
        self._being_added: dict[str, _BeingAdded] = {}

    @property
    def is_closing(self) -> bool:
        return self._dispatcher.is_closing

    async def submit(self, submission: Submission, *, is_new: bool, most_waiting: MostWaiting) -> None:
        user_id, size = submission.user_id, len(submission.command.encode())
        try:
            self._require_turn(user_id, size, most_waiting)
        except TooManyPendingError:
            await self._dispatcher.catch_up()  # another process may have taken some of them
            self._require_turn(user_id, size, most_waiting)
        added = self._being_added.get(user_id)
        if added is None:
            added = self._being_added[user_id] = _BeingAdded()
        added.jobs += 1
        added.size += size
        try:
            await self._dispatcher.submit(submission, is_new=is_new, most_waiting=most_waiting)
        finally:
            added.jobs -= 1
            added.size -= size
            if not added.jobs:
                del self._being_added[user_id]

    def _require_turn(self, user_id: str, size: int, most: MostWaiting) -> None:
        waiting, added = self._waiting, self._being_added.get(user_id, _NONE_ADDED)
        most.require_turn(waiting.count(user_id) + added.jobs, waiting.size(user_id) + added.size, size)

    async def get(self, job_id: str) -> JobState | None:
        active = self._dispatcher.find(job_id)
        if active is None or active.state is not JobPhase.RUNNING:
            running = await self._dispatcher.catch_up()
            active = self._dispatcher.find(job_id)
            found = next((job for job in running if job.submission.job_id == job_id), None)
            if active is None and found is not None:
                return elsewhere_state(found)
        if active is None:
            located = await self._store.locate(job_id)
            # Its folder is there for a moment after its result.
            if located is None or await self._store.with_result([job_id]):
                return None
            return located_state(located)
        return active.snapshot(self._position(job_id))

    async def look_up(self, job_id: str) -> FoundJob | None:
        active = self._dispatcher.find(job_id)
        if active is not None and active.state is JobPhase.RUNNING:
            return FoundJob(active.snapshot())  # as its watchers ask for after each line
        # Twice, because it may end in another process between the two looks.
        for _ in range(2):
            if self._dispatcher.find(job_id) is None:
                record = await self._store.get_result(job_id)
                if record is not None:
                    return FoundJob(record=record)
            state = await self.get(job_id)
            if state is not None:
                return FoundJob(state)
        return None

    async def end_of(self, job_id: str, seconds: float) -> dict[str, Any] | None:
        clock = asyncio.get_running_loop().time
        end, active = clock() + seconds, self._dispatcher.find(job_id)
        if active is not None and seconds > 0 and not self.is_closing:
            # Most jobs end before it would be looked for what other processes did.
            await _end_within(active, min(seconds, _LOOK_SECONDS))
            if active.record is not None:
                return active.record
        with self._awaited.ended(job_id) as ended:
            while (left := end - clock()) > 0 and not self.is_closing:
                # Another process may take it, and hand it back for its next attempt.
                active = self._dispatcher.find(job_id) or active
                ends = [] if active is None or active.state is JobPhase.ENDED else [active.next_end()]
                # Of one that runs here the file is there a moment before lists have its result.
                if ended.done() and (active is None or active.state is not JobPhase.RUNNING):
                    break
                awaited = ends if ended.done() else [ended, *ends]
                await asyncio.wait(awaited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                for each in ends:
                    each.cancel()
                if active is not None and active.record is not None:
                    return active.record
        return await self._store.get_result(job_id)

    async def find(self, query: JobQuery) -> list[JobState]:
        return self._found(query, await self._dispatcher.catch_up())

    async def summary(self) -> QueueSummary:
        return self._summary(await self._dispatcher.catch_up())

    async def overview(self, query: JobQuery) -> tuple[list[JobState], QueueSummary]:
        elsewhere = await self._dispatcher.catch_up()
        return self._found(query, elsewhere), self._summary(elsewhere)

    def _found(self, query: JobQuery, elsewhere: Sequence[RunningElsewhere]) -> list[JobState]:
        return list(islice(self._matching(query, elsewhere), query.limit))

    def _summary(self, elsewhere: Sequence[RunningElsewhere]) -> QueueSummary:
        waiting, moved, now = self._waiting, _ids(elsewhere), utc_now()
        pending = sum(job.job_id not in moved for job in waiting.due_after(now))
        return QueueSummary(
            is_paused=self._dispatcher.paused,
            queued=len(waiting) - sum(waiting.get(job_id) is not None for job_id in moved) - pending,
            pending=pending,
            running=len(self._running()) + len(elsewhere),
            limits=self._dispatcher.limits,
        )

    async def cancel(self, job_id: str, reason: StopReason) -> None:
        await self._dispatcher.catch_up()
        await self._dispatcher.cancel_anywhere(job_id, reason)

    async def set_paused(self, paused: bool) -> None:
        await self._dispatcher.set_paused(paused)

    def look_soon(self) -> None:
        self._dispatcher.look_soon()

    async def workers(self) -> list[WorkerState]:
        return await worker_states(self._warm_workers())

    @asynccontextmanager
    async def watch(self, listener: Callable[[JobChange], None]) -> AsyncIterator[None]:
        async with self._changes_elsewhere.watched():
            with self._changes.watch(listener):
                yield

    async def close(self) -> None:
        """Stop publishing changes."""
        await self._changes_elsewhere.close()

    def _matching(self, query: JobQuery, elsewhere: Sequence[RunningElsewhere]) -> Iterator[JobState]:
        """Made one by one: of ten thousand that wait, few are asked for."""
        if JobPhase.RUNNING in query.phases:
            yield from self._matching_running(query, elsewhere)
        moved = _ids(elsewhere)
        if JobPhase.QUEUED in query.phases:
            yield from self._matching_picked_up(query)
            for place, job in enumerate(self._waiting.in_order(), 1):
                if _is_asked_for(query, job) and job.job_id not in moved:
                    yield JobState(job, JobPhase.QUEUED, place)
        if JobPhase.PENDING in query.phases:
            for job in self._waiting.not_due():
                if _is_asked_for(query, job) and job.job_id not in moved:
                    yield JobState(job, JobPhase.PENDING)

    def _matching_running(self, query: JobQuery, elsewhere: Sequence[RunningElsewhere]) -> Iterable[JobState]:
        """The longest running first."""
        states = [active.snapshot() for active in self._running() if _is_asked_for(query, active.job)]
        others = [elsewhere_state(job) for job in elsewhere if _is_asked_for(query, job.submission)]
        if not others:
            return states
        return sorted(states + others, key=lambda state: state.started_at or state.job.submitted_at)

    def _matching_picked_up(self, query: JobQuery) -> Iterator[JobState]:
        """Those whose turn it is, and that do not run yet."""
        for active in self._dispatcher.active():
            is_picked_up = active.state is JobPhase.QUEUED and self._waiting.get(active.job.job_id) is None
            if is_picked_up and _is_asked_for(query, active.job):
                yield active.snapshot()

    def _running(self) -> list[ActiveJob[PendingJob]]:
        return [job for job in self._dispatcher.active() if job.state is JobPhase.RUNNING]

    def _position(self, job_id: str) -> int | None:
        ordered = self._waiting.in_order() if self._waiting.get(job_id) else []
        return next((place for place, job in enumerate(ordered, 1) if job.job_id == job_id), None)


async def _end_within(active: ActiveJob[PendingJob], seconds: float) -> None:
    """Wait up to `seconds` for the job to end, or for this process to be about to stop."""
    # Not by `asyncio.wait`, which hands on through a future of its own, one turn of the loop later.
    ended = active.next_end()
    timer = asyncio.get_running_loop().call_later(seconds, settle, ended)
    try:
        await ended
    finally:
        timer.cancel()


def _ids(running: Sequence[RunningElsewhere]) -> set[str]:
    return {job.submission.job_id for job in running}


def _is_asked_for(query: JobQuery, job: PendingJob | Submission) -> bool:
    if query.user_id is not None and query.user_id != job.user_id:
        return False
    return not query.id_prefix or job.job_id.startswith(query.id_prefix)


class AwaitedResults:
    """Waits for the results of jobs in other processes on the same data folder.

    Polls for all awaited results together, at most ten times a second, and not at all while nobody waits.

    `store` says which jobs have ended.
    """

    def __init__(self, store: FileSystemStore, storage: StorageState) -> None:
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
            seconds = max(_LOOK_SECONDS, _LOOK_SECONDS_FOR_EACH * len(self._ended))
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
