"""Outbox: turns the outcome of a job into notices, never before its result is stored, and never losing one.

An engine with transactions stores notices together with the result. For any other, they are prepared durably
before the result is stored, and released afterwards. If the process dies in between, `settle` releases or
drops them, depending on whether the result was stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from ..engine.base import JobHistory, NoticeRecords
from ..model.job import JobResult, JobStatus, Submission
from ..model.notice import Notice, NoticeState, notice_id
from ..model.notice_events import event_for, needs_previous
from ..system.storage_state import StorageState
from ..system.threads import DaemonThreads

_HISTORY_SECONDS = 10.0
_YOUNG_SECONDS = 2.0
_THREADS = 2
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_CANNOT_PREPARE = "The notices of job %s cannot be prepared"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The prepared notices of one outcome; `kept` is false if the disk refused them."""

    notices: tuple[Notice, ...]
    kept: bool


class Outbox:
    """Receives outcomes from the dispatcher. Failures here never affect a job.

    `released` is called when there is something to send.
    """

    def __init__(
        self,
        store: NoticeRecords,
        history: JobHistory,
        released: Callable[[], None] = lambda: None,
        *,
        storage: StorageState,
    ) -> None:
        self._store = store
        self._history = history
        self._released = released
        self._storage = storage
        # Threads of its own: those that the loop shares may all be waiting for a lost name server.
        self._threads = DaemonThreads(_THREADS, "aiohttp-jobs-notices")

    def close(self) -> None:
        self._threads.shutdown()

    async def prepare(self, submission: Submission, result: JobResult) -> Prepared:
        """Prepare the notices of `result`, which is about to be stored. Does not raise."""
        try:
            notices = await self.notices_of(submission, result)
        except OSError as error:
            self._report_unknown_previous(result, error)
            notices = _notices(submission, result, None)
        # An earlier outcome of this attempt may have been prepared by a process that died.
        ids = {notice_id(result.job_id, result.attempt, index) for index, _ in enumerate(submission.notify)}
        try:
            await self._run(self._prepare, notices, ids - {each.notice_id for each in notices})
        except Exception as error:
            self._storage.report(error, _logger, _CANNOT_PREPARE, result.job_id)
            return Prepared(notices, kept=False)
        return Prepared(notices, kept=True)

    async def notices_of(self, submission: Submission, result: JobResult) -> tuple[Notice, ...]:
        """The notices of `result`, which are not stored.

        Raises ``OSError`` while the storage is away, from which is read how the job before ended.
        """
        try:
            previous = await self._previous(submission, result)
        except Exception as error:
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise
            self._report_unknown_previous(result, error)
            previous = None
        return _notices(submission, result, previous)

    def _report_unknown_previous(self, result: JobResult, error: Exception) -> None:
        # Better to tell of a second failure than not to tell of the first.
        message = "How job %s ended before cannot be found out"
        self._storage.report(error, _logger, message, result.job_name)

    def stored(self) -> None:
        """Look for notices to send: some were stored together with a result."""
        self._released()

    async def release(self, prepared: Prepared) -> None:
        """Send the prepared notices: their result is stored. Does not raise."""
        if not prepared.notices:
            return
        try:
            await self._run(self._release, prepared)
        except Exception as error:
            job_id = prepared.notices[0].job_id
            self._storage.report(error, _logger, "Notices of job %s cannot be sent yet", job_id)
        self._released()

    async def settle(self, *, at_once: bool = False) -> None:
        """Release or drop the notices that dead processes prepared. Raises ``OSError``."""
        for notice in await self._run(self._store.prepared, 0.0 if at_once else _YOUNG_SECONDS):
            has_ended = await self._has_ended(notice)
            if has_ended:
                await self._run(self._store.release, notice.notice_id)
                self._released()
            elif has_ended is False:
                await self._run(self._store.withdraw, [notice.notice_id])

    async def _run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    async def _previous(self, submission: Submission, result: JobResult) -> JobStatus | None:
        if not needs_previous(submission.notify, result.status):
            return None
        async with asyncio.timeout(_HISTORY_SECONDS):
            return await self._history.previous_status(result.user_id, result.job_name, result.date_completed)

    async def _has_ended(self, notice: Notice) -> bool | None:
        """Whether the job ended as `notice` says; ``None`` while that is open, false when it did not."""
        # Twice, because it may end between the two looks.
        for _ in range(2):
            if (result := await self._history.get_result(notice.job_id)) is not None:
                return notice.fits(result)
            if await self._history.was_used(notice.job_id):
                return True  # its result was kept, and has been deleted since
            if await self._history.current_submission(notice.job_id) is not None:
                return None
        return False

    def _prepare(self, notices: tuple[Notice, ...], stale: set[str]) -> None:
        self._store.withdraw(stale)
        for notice in notices:
            self._store.prepare(notice)

    def _release(self, prepared: Prepared) -> None:
        for notice in prepared.notices:
            if prepared.kept:
                self._store.release(notice.notice_id)
            else:
                self._store.add(notice.model_copy(update={"state": NoticeState.PENDING}))
                self._store.withdraw([notice.notice_id])


def _notices(submission: Submission, result: JobResult, previous: JobStatus | None) -> tuple[Notice, ...]:
    """Those that the rules of `submission` ask for, where the job before ended as `previous`."""
    events = [(rule, event_for(rule, result.status, previous)) for rule in submission.notify]
    return tuple(
        Notice.about(result, index, rule, event, submission.submitted_with)
        for index, (rule, event) in enumerate(events)
        if event is not None
    )
