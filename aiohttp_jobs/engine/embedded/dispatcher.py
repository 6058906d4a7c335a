"""Dispatcher: picks submissions up, has them run within the limits, and stores their results.

`WaitingJobs` (``queue``) decides which job is next, `Slots` whether one more may run, `JobRunner` runs it,
`ResultKeeper` (``finishing``) handles its result.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from ...errors import MayStillRunError
from ...model.job import ExecutionMode, JobPhase, JobResult, Submission, utc_now
from ...system.storage_state import StorageState, retry_until_written
from ...system.threads import started
from ...worker.process.process import INSTANCE_VARIABLE, kill_marked
from ..base import (
    SHUT_DOWN,
    ClaimedJob,
    JobObserver,
    Limits,
    MostWaiting,
    Notifier,
    Slot,
    StopReason,
    cancelled_by,
    slot_of,
)
from ..running.active import ActiveJob
from ..running.lifecycle import JobRunner
from .findings import Found, LostJob, RunningElsewhere
from .finishing import ResultKeeper
from .function_turns import FunctionTurns
from .queue import Allowance, KeyBusyError, PendingJob, QueuePausedError, Slots, WaitingJobs
from .store import FileSystemStore

_KEY_SECONDS = 0.5
_REFUSED_SECONDS = 2.0
_OTHERS_SECONDS = 2.0
_CLOSE_SECONDS = 5.0
_TIMER_SLACK = 0.001
_LONGEST_LOOK_SECONDS = 600.0
"""A look takes no longer: what was refused before it is not in what it found."""

_logger = logging.getLogger(__name__)


class Dispatcher:
    """Runs the jobs of `store` within `limits`.

    It looks for files that other programs dropped every `interval` seconds, and at once when woken. MainLoop
    commands run one at a time and delay the start of all other jobs, as the specification requires. The
    host's own functions in MainLoop do not: they are coroutines, and may wait for other jobs. `turns` says
    which jobs of functions are left to other processes.
    """

    def __init__(
        self,
        store: FileSystemStore,
        runner: JobRunner,
        *,
        limits: Limits,
        interval: float,
        starvation: float,
        storage: StorageState,
        notifier: Notifier | None = None,
        observer: JobObserver | None = None,
        on_change: Callable[[ActiveJob[PendingJob]], None] = lambda job: None,
        turns: FunctionTurns | None = None,
    ) -> None:
        self._store = store
        self._runner = runner
        self._interval = interval
        self._storage = storage
        self._keeper = ResultKeeper(store, notifier)
        self._observer = observer
        self._on_change = on_change
        self._turns = turns
        self._queue = WaitingJobs(starvation)
        self._active: dict[str, ActiveJob[PendingJob]] = {}
        self._known: set[str] = set()
        self._slots = Slots(limits)
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._asked = asyncio.Event()
        self._next_look = 0.0
        self._there_are_more = False
        self.is_closing = False
        self._grace_is_over = False
        self._being_added: set[str] = set()
        self._refused: dict[str, float] = {}
        """When the acceptance of jobs was refused: a look that began before may have read their files."""
        self._allowance: Allowance | None = None
        self._at_rest = False
        self._held_up_by: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop_task: asyncio.Task[None] | None = None
        self.paused = False
        self._pauses = 0

    def open(self) -> None:
        self._loop_task = asyncio.create_task(self._run(), name="aiohttp-jobs-dispatcher")

    def begin_closing(self) -> None:
        """Start nothing more, and release everybody who watches."""
        self.is_closing = True
        self._wake.set()
        for job in self._active.values():
            job.let_go()

    async def close(self, grace: float, kill_grace: float) -> None:
        """Start nothing more, give running jobs `grace` seconds, then stop them and store their results.

        Jobs without a stored result five seconds after `kill_grace` are left to the next start.
        """
        self.begin_closing()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        self._grace_is_over = True
        for job in list(self._active.values()):
            if self._queue.get(job.job.job_id) is None:
                job.stop(SHUT_DOWN)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=kill_grace + _CLOSE_SECONDS)
            for task in late:
                task.cancel()
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait([self._loop_task], timeout=_CLOSE_SECONDS)
        if self._timer is not None:
            self._timer.cancel()

    @property
    def queue(self) -> WaitingJobs:
        """The waiting jobs. Read only."""
        return self._queue

    @property
    def limits(self) -> Limits:
        return self._slots.limits

    def active(self) -> Iterable[ActiveJob[PendingJob]]:
        """The waiting and running jobs of this process, in the order in which it learned of them."""
        return self._active.values()

    def find(self, job_id: str) -> ActiveJob[PendingJob] | None:
        """A waiting or running job of this process; ``None`` if there is none with this id."""
        return self._active.get(job_id)

    async def submit(self, submission: Submission, *, is_new: bool, most_waiting: MostWaiting) -> None:
        """Accept a job durably. `is_new` promises that its id was just generated.

        If it would be started next anyway, it is claimed in the same write. Raises `TooManyPendingError`.
        """
        allowance = self._allowance
        if allowance is None or allowance.most is not most_waiting:
            allowance = self._allowance = Allowance(most_waiting, self._queue.size_of)
        slot = slot_of(submission.execution_mode, submission.function)
        if is_new and self._may_start_now(submission, slot):
            with contextlib.suppress(QueuePausedError):
                await self._start_at_once(submission, slot, allowance)
                return
            self.paused = True
        self._being_added.add(submission.job_id)
        try:
            job = await self._store.add(submission, allowance)
        except (OSError, MayStillRunError):
            self._refused[submission.job_id] = time.monotonic()
            raise
        finally:
            self._being_added.discard(submission.job_id)
        if self._observer is not None:
            self._observer.accepted(submission)
        self.enqueue(job)

    async def _start_at_once(self, submission: Submission, slot: Slot, allowance: Allowance) -> None:
        """Return when the job is accepted and picked up. Raises what `start` of the store raises."""
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slots.take(slot, submission.user_id)
        # In a task of its own: who submits may go away, the job has to be seen through.
        self._track(self._start_new(submission, slot, allowance, accepted))
        await accepted

    def enqueue(self, job: PendingJob) -> None:
        """Add a job that was just added to the store."""
        if job.key in self._known:
            return
        self._known.add(job.key)
        self._queue.add(job)
        if job.job_id not in self._active:
            self._active[job.job_id] = ActiveJob(job, self._on_change)
        active = self._active[job.job_id]
        active.job, active.state = job, JobPhase.QUEUED
        active.announce()
        self._wake.set()

    def has_news(self) -> bool:
        """Whether a look would find anything. Blocks, and may be called in a thread."""
        return self._store.has_news(self._known)

    def look_soon(self) -> None:
        """Look at once, because something changed."""
        self._asked.set()
        self._wake.set()

    def cancel(self, job_id: str, reason: StopReason) -> bool:
        """Stop a waiting or running job of this process for `reason`; false when there is none."""
        active = self._active.get(job_id)
        if active is None:
            return False
        active.stop(reason)
        waiting = self._queue.remove(job_id)
        if waiting is not None:
            # It will not run, and so has no need of its key.
            self._start(replace(waiting, concurrency_key=None))
        return True

    async def cancel_anywhere(self, job_id: str, reason: StopReason) -> None:
        """Stop a job of any process on the store. Does nothing when it has ended."""
        if self.cancel(job_id, reason) or await self._store.request_cancel(job_id, reason.by):
            return
        await self._look_around()
        while not self.cancel(job_id, reason) and self._there_are_more:
            await self._find_more()

    async def set_paused(self, paused: bool) -> None:
        """Pause or resume starting jobs. Running jobs go on."""
        await self._store.set_paused(paused)
        self.paused = paused
        self._pauses += 1
        self._wake.set()

    async def catch_up(self) -> list[RunningElsewhere]:
        """Learn what other processes run, pause, have taken, or left waiting.

        Without other processes this costs one ``stat``, in a thread.
        """
        pauses = self._pauses
        try:
            seen = await self._store.look_at_others(self._queue.jobs, self._known)
        except OSError as error:
            self._storage.report(error, _logger, "Cannot see what other processes run")
            return []
        if seen is None:
            return []
        if pauses == self._pauses and self.paused is not seen.is_paused:
            self.paused = seen.is_paused
            self._wake.set()
        for job in seen.taken:
            self._let_go(job)
        if seen.has_news:
            await self._find_more()
            self._wake.set()
        return seen.running

    def _let_go(self, job: PendingJob) -> None:
        """Another process has taken a job that waits here, unless it was put back meanwhile."""
        active = self._active.get(job.job_id)
        # One that is to be cancelled is not let go before whoever runs it has been told.
        if self._queue.get(job.job_id) is job and active is not None and active.reason is None:
            self._queue.remove(job.job_id)
            self._forget(active, None)

    async def _run(self) -> None:
        while not self.is_closing:
            if self._asked.is_set() or time.monotonic() >= self._next_look:
                await self._look_around()
            elif self._there_are_more:
                await self._find_more()
            while (task := self._held_up_by or self._start_ready()) is not None:
                self._held_up_by = None
                await self._hold_up_for(task)
            self._wake_in(self._pause())
            # Files that have not been read yet were there first.
            self._at_rest = not self._there_are_more
            try:
                await self._wake.wait()
            finally:
                self._at_rest = False
            self._wake.clear()

    def _wake_in(self, seconds: float) -> None:
        """Wake up after that long at the latest. Jobs wake it far more often, and the timer is kept then."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds + _TIMER_SLACK:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._wake.set()

    def _pause(self) -> float:
        if self._there_are_more:
            return 0.0
        pause = self._next_look - time.monotonic()
        due = self._queue.next_due()
        if due is not None and not self.paused:
            pause = min(pause, (due - utc_now()).total_seconds())
        return max(0.0, pause)

    async def _look_around(self) -> None:
        """Find dropped files and the jobs of processes that died. Whatever fails is tried again."""
        self._asked.clear()
        began = time.monotonic()
        self._next_look = began + self._interval
        self._refused = {job: at for job, at in self._refused.items() if began - at < _LONGEST_LOOK_SECONDS}
        pauses = self._pauses
        try:
            seen = await self._store.look(self._known)
            if pauses == self._pauses:
                self.paused = seen.is_paused
            await self._record_lost(seen.lost)
            for job_id, by in seen.cancel_requests:
                self.cancel(job_id, cancelled_by(by))
            self._take_in(seen.found, began)
            await self.catch_up()
        except Exception as error:
            self._storage.report(
                error, _logger, "Cannot look for submissions; trying again in %g s", self._interval
            )

    async def _find_more(self) -> None:
        """Go on with what the last look began: jobs start before the last of many files has been read."""
        self._there_are_more = False
        began = time.monotonic()
        try:
            self._take_in(await self._store.scan(self._known), began)
        except Exception as error:
            self._storage.report(
                error, _logger, "Cannot read submissions; trying again in %g s", self._interval
            )

    def _take_in(self, found: Found, began: float) -> None:
        self._there_are_more = found.there_are_more
        if found.again_in is not None:
            self._next_look = min(self._next_look, time.monotonic() + found.again_in)
        for job in found.jobs:
            # A copy of a job that waits or runs here is left until that has ended, and then rejected. One
            # whose acceptance is not durable yet may still be refused, and its file removed.
            if job.job_id in self._active or job.job_id in self._being_added:
                continue
            if self._refused.get(job.job_id, -math.inf) < began:
                self.enqueue(job)

    async def _record_lost(self, jobs: Collection[LostJob]) -> None:
        for instance_id in {job.instance_id for job in jobs}:
            killed = await asyncio.wrap_future(started(kill_marked, {INSTANCE_VARIABLE: instance_id}))
            _logger.warning("A host process died; %d processes of its jobs were ended", killed)
        for job in jobs:
            self._track(self._see_lost_through(job))

    def _start_ready(self, freed: Slot = None) -> asyncio.Task[None] | None:
        """Start what may start. Of a command in MainLoop the task: nothing else may start before its end.

        With `freed` all has started but what this slot had no room for, and one more has room now.
        """
        while not (self.is_closing or self.paused or self._storage.holds_jobs):
            job = self._queue.take(self._slots.has_room, self._slots.may_start)
            if job is None:
                return None
            task = self._start(job)
            if job.slot is ExecutionMode.MAIN_LOOP:
                return task
            if freed is not None and job.slot is freed:
                return None
        return None

    async def _hold_up_for(self, task: asyncio.Task[None]) -> None:
        """Start nothing until `task` has ended; other processes may ask for its end meanwhile."""
        while not task.done():
            if self._there_are_more:
                await self._find_more()
                continue
            asked = asyncio.create_task(self._asked.wait())
            try:
                await asyncio.wait([task, asked], timeout=self._interval, return_when=FIRST_COMPLETED)
            finally:
                asked.cancel()
            if not task.done():
                await self._look_around()

    def _may_start_now(self, submission: Submission, slot: Slot) -> bool:
        """Whether a new job would be the next to start: all that waits is waiting for something else."""
        if not self._at_rest or self._wake.is_set() or self._being_added or self.is_closing or self.paused:
            return False
        if self._storage.holds_jobs:
            return False
        if slot is ExecutionMode.MAIN_LOOP or submission.run_at or submission.concurrency_key is not None:
            return False
        if not self._slots.has_room_for(submission.user_id):
            return False
        due = self._queue.next_due()
        return self._slots.has_room(slot) and (due is None or due > utc_now())

    def _start(self, job: PendingJob) -> asyncio.Task[None]:
        self._slots.take(job.slot, job.user_id)
        if (lock := job.lock) is not None:
            self._slots.take_lock(lock)
        active = self._active[job.job_id]
        # Not in the task, which runs later: what is asked of the store at the same time is one write there.
        claiming = None if self._may_be_others(job, active) else self._claim(job, active)
        return self._track(self._process(job, active, claiming))

    def _claim(self, job: PendingJob, active: ActiveJob[PendingJob]) -> Awaitable[ClaimedJob | None]:
        return self._store.claim(job, unless_paused=active.reason is None)

    def _free_slot(self, slot: Slot, user_id: str) -> None:
        """Have the next job take the slot, at once where nothing is to be looked for first."""
        self._slots.free(slot, user_id)
        if self._at_rest and not self._wake.is_set():
            # With a limit for each user, the next of the same user may be of another slot.
            freed = None if self._slots.limits.per_user else slot
            self._held_up_by = self._start_ready(freed) if self._queue else None
            if self._held_up_by is None:
                return
        self._wake.set()

    def _free_lock(self, job: PendingJob) -> None:
        if (lock := job.lock) is not None:
            self._slots.free_lock(lock)
            self._wake.set()

    def _track(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `job` in a task of its own, which `close` waits for until `_is_done` is called in it."""
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        return task

    def _is_done(self) -> None:
        """The running task is over. Called by itself, as a callback would take another turn of the loop."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.discard(task)

    async def _start_new(
        self, submission: Submission, slot: Slot, allowance: Allowance, accepted: asyncio.Future[None]
    ) -> None:
        """Accept and pick up in one, tell by `accepted` that it is done, and see the job through."""
        placed = self._runner.prepare(submission)
        try:
            job, claimed = await self._store.start(submission, allowance, placed)
        except BaseException as error:
            self._is_done()
            self._runner.withdraw(submission.job_id)
            self._free_slot(slot, submission.user_id)
            if not accepted.done():
                accepted.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        if self._observer is not None:
            self._observer.accepted(submission)
        self._known.add(job.key)
        active = self._active[job.job_id] = ActiveJob(job, self._on_change)
        if not accepted.done():
            accepted.set_result(None)
        if self._grace_is_over:
            active.stop(SHUT_DOWN)
        await self._see_through(job, claimed, active)

    async def _process(
        self,
        job: PendingJob,
        active: ActiveJob[PendingJob],
        claiming: Awaitable[ClaimedJob | None] | None,
    ) -> None:
        """See a job through, its claim, for which the store was asked where `claiming` is given, included."""
        claimed: ClaimedJob | None = None
        try:
            unwanted = claiming is None and self.is_closing and active.reason is None
            if claiming is None and not unwanted and await self._is_others(job, active):
                self._enqueue_again(job, _OTHERS_SECONDS)
                return
            claimed = None if unwanted else await (claiming or self._claim(job, active))
            if claimed is None:
                if active.is_cancelled and active.reason is not None:
                    await self._store.request_cancel(job.job_id, active.reason.by)
                self._forget(active, None)
        except QueuePausedError:
            self.paused = True
            self._known.discard(job.key)
            self.enqueue(job)
        except KeyBusyError:
            self._enqueue_again(job, _KEY_SECONDS)
        except Exception as error:
            if self._storage.explains(error):
                # Not forgotten: that it is cancelled, perhaps, is known here alone.
                self._enqueue_again(job, _REFUSED_SECONDS)
            else:
                # Still pending on disk: forgotten here, the next scan finds it again.
                _logger.exception("Job %s could not be picked up; it stays pending", job.job_id)
                self._forget(active, None)
        finally:
            if claimed is None:
                self._free_slot(job.slot, job.user_id)
                self._free_lock(job)
                self._is_done()
        if claimed is not None:
            await self._see_through(job, claimed, active)

    def _may_be_others(self, job: PendingJob, active: ActiveJob[PendingJob]) -> bool:
        """Whether it has to be asked who is to pick it up. One that is stopped is anybody's to record as
        such.
        """
        if job.function is None or self._turns is None or active.reason is not None:
            return False
        return not self._turns.is_ours(job)

    async def _is_others(self, job: PendingJob, active: ActiveJob[PendingJob]) -> bool:
        """Whether another process is to pick it up, of a job of which that has to be asked."""
        is_left = active.reason is None and self._turns is not None and await self._turns.is_left(job)
        return is_left and active.reason is None

    def _enqueue_again(self, job: PendingJob, seconds: float) -> None:
        """Have a job that could not be picked up tried again, after so many seconds."""
        self._known.discard(job.key)
        self.enqueue(replace(job, run_at=utc_now() + timedelta(seconds=seconds)))

    async def _see_through(self, job: PendingJob, claimed: ClaimedJob, active: ActiveJob[PendingJob]) -> None:
        """Run what was picked up, and have its result kept."""
        try:
            try:
                result = await self._runner.run(claimed, active)
            finally:
                # The command is over: another may start while the result is being written.
                self._free_slot(job.slot, job.user_id)
            # Decided once: what the disk refuses to make durable, such as the next attempt, may be there.
            was_cancelled = active.is_cancelled
            try:
                await self._finish(claimed, result, active, was_cancelled=was_cancelled)
            except OSError as error:
                finish = partial(self._finish, claimed, result, active, was_cancelled=was_cancelled)
                await self._until_written(claimed.job_id, finish, refused=error)
        except Exception:
            _logger.exception("The result of job %s could not be kept", job.job_id)
            self._forget(active, None)
        finally:
            self._free_lock(job)
            self._is_done()

    async def _until_written(
        self, job_id: str, finish: Callable[[], Awaitable[None]], *, refused: OSError | None = None
    ) -> None:
        message = "The result of job %s cannot be written"
        await retry_until_written(finish, self._storage, _logger, message, job_id, refused=refused)

    async def _see_lost_through(self, job: LostJob) -> None:
        try:
            await self._until_written(job.claimed.job_id, partial(self._finish_lost, job))
        finally:
            self._is_done()

    async def _finish_lost(self, job: LostJob) -> None:
        result = await self._runner.lost(job.claimed, job.started_at, job.last_seen)
        await self._finish(job.claimed, result, None, was_cancelled=False)

    async def _finish(
        self,
        claimed: ClaimedJob,
        result: JobResult,
        active: ActiveJob[PendingJob] | None,
        *,
        was_cancelled: bool,
    ) -> None:
        kept = await self._keeper.finish(claimed, result, cancelled=was_cancelled)
        if self._observer is not None:
            self._observer.ended(claimed.submission, result, again=isinstance(kept, PendingJob))
        if isinstance(kept, PendingJob):
            reason = active.reason if active is not None and active.is_cancelled else None
            if active is not None:
                self._known.discard(active.job.key)
                active.again()
            self.enqueue(kept)
            if reason is not None:  # it was cancelled while that was being written
                self.cancel(kept.job_id, reason)
            return
        if active is not None:
            self._forget(active, kept.record)
        if kept.notices is not None:
            await self._keeper.release(kept.notices)

    def _forget(self, active: ActiveJob[PendingJob], record: dict[str, Any] | None) -> None:
        self._known.discard(active.job.key)
        if self._active.get(active.job.job_id) is active:
            del self._active[active.job.job_id]
        active.ended(record)
