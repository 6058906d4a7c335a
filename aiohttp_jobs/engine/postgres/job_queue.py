"""JobQueue on a database: rows hold the jobs, notifications announce changes.

``dispatcher`` runs jobs; the SQL is in ``jobs``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from ...model.job import ExecutionMode, JobPhase, Submission
from ...system.owned_tasks import OwnedTasks
from ...system.storage_state import StorageState
from ...worker.base import WarmWorker
from ..base import (
    MISSED,
    FoundJob,
    JobChange,
    JobQuery,
    JobState,
    MostWaiting,
    QueueSummary,
    StopReason,
    WorkerState,
)
from ..running.active import ActiveJob, JobChanges
from ..running.states import worker_states
from .database import DatabaseUnavailableError
from .dispatcher import PostgresDispatcher
from .each_job import EachJob
from .jobs import JobTable
from .telling import ToldResults

_AGAIN_SECONDS = 1.0
_SUBMIT_TRIES = 3
_ASK_SECONDS = 4.0
_MOST_ASKED = 1000
_MOST_UNHEARD = 1000
_logger = logging.getLogger(__name__)

GetResult = Callable[[str], Awaitable[dict[str, Any] | None]]


class PostgresJobQueue:
    """The jobs of all processes on the database, of which `dispatcher` runs this one's."""

    def __init__(
        self,
        table: JobTable,
        each_job: EachJob,
        dispatcher: PostgresDispatcher,
        changes: JobChanges,
        get_result: GetResult,
        warm_workers: Callable[[], list[WarmWorker]],
        storage: StorageState,
        told_results: ToldResults,
    ) -> None:
        self._table = table
        self._each_job = each_job
        self._dispatcher = dispatcher
        self._changes = changes
        self._get_result = get_result
        self._warm_workers = warm_workers
        self._storage = storage
        self._told_results = told_results
        self._awaited: defaultdict[str, set[asyncio.Future[Any]]] = defaultdict(set)
        self._unheard: dict[str, None] = {}
        """The last jobs that were submitted here, of which nothing was heard since they were sent off."""
        self._tasks = OwnedTasks("telling of changes")
        self._watchers = 0
        self.on_drain: Callable[[str], None] = lambda process_id: None
        """Is told of each process that is to take no more jobs."""
        self._asked_at: dict[str, float] = {}

    @property
    def is_closing(self) -> bool:
        return self._dispatcher.is_closing

    async def submit(self, submission: Submission, *, is_new: bool, most_waiting: MostWaiting) -> None:
        only_here = submission.execution_mode is ExecutionMode.MAIN_LOOP
        if is_new:
            self._expect(submission.job_id)
        for left in reversed(range(_SUBMIT_TRIES)):
            try:
                await self._each_job.ask(self._table.to_submit(submission, most_waiting, only_here=only_here))
                break
            except DatabaseUnavailableError as error:
                # It may have been accepted, without the answer: the same again tells, and changes nothing.
                if not left or not error.may_be_done:
                    raise
        self._dispatcher.accepted(submission)
        if self._watchers and self._dispatcher.find(submission.job_id) is None:
            self._tasks.start(self._tell_of(submission.job_id))

    async def get(self, job_id: str) -> JobState | None:
        state = await self._table.in_thread(self._table.get, job_id)
        return None if state is None else self._as_here(state)

    async def look_up(self, job_id: str) -> FoundJob | None:
        state = await self.get(job_id)
        if state is not None:
            return FoundJob(state)
        # A job's row and its result are never there both, nor neither.
        record = await self._get_result(job_id)
        return None if record is None else FoundJob(record=record)

    async def end_of(self, job_id: str, seconds: float) -> dict[str, Any] | None:
        clock = asyncio.get_running_loop().time
        end, has_waited = clock() + seconds, False
        while (left := end - clock()) > 0 and not self.is_closing:
            active = self._dispatcher.find(job_id)
            change = self._next_news(job_id)
            # Of a job that runs here, or was accepted a moment ago, the end is heard.
            if not self._is_unheard(job_id) and active is None:
                record = await self._get_result(job_id)
                if record is not None:
                    return record
                if has_waited and await self.look_up(job_id) is None:
                    return None  # its result was deleted already
            await asyncio.wait([change], timeout=min(left, _AGAIN_SECONDS))
            has_waited = True
            if active is not None and active.record is not None:
                return active.record
            if change.done() and (told := change.result()):
                record = self._told_results.read(job_id, told)
                if record is not None:
                    return record
        return await self._get_result(job_id)

    async def find(self, query: JobQuery) -> list[JobState]:
        found = await self._table.in_thread(self._table.find, query)
        # A job that is claimed waits until it is checked.
        waiting = {each.job.job_id: each for each in self._dispatcher.active() if not each.has_started}
        first = [
            state for state in found if state.phase is JobPhase.RUNNING and state.job.job_id not in waiting
        ]
        checked = [state for each in waiting.values() if query.finds(state := each.snapshot())]
        rest = [state for state in found if state.phase is not JobPhase.RUNNING]
        return [*map(self._as_here, first), *checked, *rest][: query.limit]

    async def summary(self) -> QueueSummary:
        is_paused, queued, pending, running = await self._table.in_thread(self._table.summary)
        return QueueSummary(is_paused, queued, pending, running, self._dispatcher.limits)

    async def overview(self, query: JobQuery) -> tuple[list[JobState], QueueSummary]:
        return await self.find(query), await self.summary()

    async def cancel(self, job_id: str, reason: StopReason) -> None:
        await self._dispatcher.cancel(job_id, reason)

    async def set_paused(self, paused: bool) -> None:
        await self._table.in_thread(self._table.set_paused, paused)
        self._dispatcher.wake()

    def look_soon(self) -> None:
        self._dispatcher.wake()

    async def workers(self) -> list[WorkerState]:
        return await worker_states(self._warm_workers())

    @asynccontextmanager
    async def watch(self, listener: Callable[[JobChange], None]) -> AsyncIterator[None]:
        self._watchers += 1
        try:
            with self._changes.watch(listener):
                yield
        finally:
            self._watchers -= 1

    def next_change(self, job_id: str) -> asyncio.Future[None]:
        """Is done when a job may be in another state, and after a second at the latest."""
        return self._next_news(job_id)

    def _next_news(self, job_id: str) -> asyncio.Future[Any]:
        """The same; its result is what was told of the job's, as `ToldResults` reads it, or nothing."""
        active = self._dispatcher.find(job_id)
        if active is not None:
            return active.next_change()
        loop = asyncio.get_running_loop()
        change: asyncio.Future[Any] = loop.create_future()
        self._awaited[job_id].add(change)
        change.add_done_callback(lambda done: self._no_longer_awaited(job_id, done))
        loop.call_later(_AGAIN_SECONDS, _set, change)
        return change

    def hear(self, what: str, job_id: str, more: str = "") -> None:
        """Another process said that something happened. To be called in the event loop.

        `more` is whose a deleted job was, and which slot one takes that may be started.
        """
        if what == "watch":
            self._dispatcher.watch(job_id)
            return
        if what in {"deleted", "missed"}:
            self._changes.tell(JobChange(more, job_id) if what == "deleted" else MISSED)
            return
        if what == "drain":
            self.on_drain(job_id)
            return
        if what == "job" and more:
            self._dispatcher.wake_for(more)
        elif what not in {"cancel", "output", "progress"}:
            self._dispatcher.wake()
        if what == "gap":
            self._look_anew()
        if what in {"cancel", "gap"} and (what == "gap" or self._dispatcher.find(job_id)):
            self._tasks.start(self._stop_cancelled())
        self._wake_watchers(job_id, more if what == "progress" else "")
        if what in {"job", "progress"} and self._watchers and self._dispatcher.find(job_id) is None:
            self._tasks.start(self._tell_of(job_id))

    async def close(self) -> None:
        """Tell of no more changes."""
        await self._tasks.close(1.0)

    def _look_anew(self) -> None:
        """Have all who watch look again, as something may have been missed."""
        self._changes.tell(MISSED)
        self._unheard.clear()
        self.let_go()

    def let_go(self) -> None:
        """Whoever waits for a job waits no longer."""
        for changes in list(self._awaited.values()):
            for change in list(changes):
                _set(change)

    def changed(self, active: ActiveJob[Any]) -> None:
        """A job of this process is in another state than before: tell those who watch."""
        self._changes.changed(active)
        self._wake_watchers(active.job.job_id)

    def _wake_watchers(self, job_id: str, told: str = "") -> None:
        self._unheard.pop(job_id, None)
        for change in list(self._awaited.get(job_id, ())):
            _set(change, told)

    def _expect(self, job_id: str) -> None:
        """A job is about to be accepted: note whether anything is heard of it."""
        if len(self._unheard) >= _MOST_UNHEARD:
            del self._unheard[next(iter(self._unheard))]
        self._unheard[job_id] = None

    def _is_unheard(self, job_id: str) -> bool:
        """Whether a job cannot have ended, as nothing was heard of it since it was submitted here.

        It is believed once, as what was said may have been lost.
        """
        is_unheard = job_id in self._unheard
        self._unheard.pop(job_id, None)
        return is_unheard

    def watch_output(self, job_id: str) -> None:
        """Have what a job prints copied while somebody looks at it, whichever process runs it."""
        now = asyncio.get_running_loop().time()
        if not self._dispatcher.watch(job_id) and now > self._asked_at.get(job_id, 0.0) + _ASK_SECONDS:
            if len(self._asked_at) > _MOST_ASKED:
                self._asked_at.clear()
            self._asked_at[job_id] = now
            self._tasks.start(self._ask_for_output(job_id))

    async def _ask_for_output(self, job_id: str) -> None:
        with contextlib.suppress(DatabaseUnavailableError):  # whoever watches looks again
            await self._table.in_thread(self._table.say, "watch", job_id)

    async def _stop_cancelled(self) -> None:
        with contextlib.suppress(DatabaseUnavailableError):  # the next look finds it
            await self._dispatcher.look_at_held()

    async def _tell_of(self, job_id: str) -> None:
        """Tell those who watch how a job is that another process has changed."""
        try:
            state = await self.get(job_id)
            record = None if state is not None else await self._get_result(job_id)
        except OSError as error:
            self._storage.report(error, _logger, "Cannot tell how a job has changed")
            return
        if state is not None:
            self._changes.tell(JobChange(state.job.user_id, job_id, state=state))
        elif record is not None:
            self._changes.tell(JobChange(record["UserID"], job_id, record=record))

    def _as_here(self, state: JobState) -> JobState:
        """Of what this process has more is known than is noted in the database."""
        active = self._dispatcher.find(state.job.job_id)
        if active is None or active.state is JobPhase.ENDED:
            return state
        return (
            active.snapshot()
            if active.has_started
            else active.snapshot()._replace(submission=state.submission)
        )

    def _no_longer_awaited(self, job_id: str, change: asyncio.Future[Any]) -> None:
        self._awaited[job_id].discard(change)
        if not self._awaited[job_id]:
            del self._awaited[job_id]


def _set(change: asyncio.Future[Any], told: str = "") -> None:
    if not change.done():
        change.set_result(told)
