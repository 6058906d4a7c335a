"""A job from the moment this process knows of it until its result is kept: its state and who watches it.

Those who watch the list are told by `JobChanges`; what a change looks like to them, and who may see it, is
left to them.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic, TypeVar

from ...model.job import JobPhase, JobStatus, Submission, utc_now
from ...model.progress import Progress
from ...worker.output.log import OutputLog
from ..base import JobChange, JobState, JobSummary, StopReason

Listener = Callable[[JobChange], None]
J = TypeVar("J", bound=JobSummary)

_PROGRESS_SECONDS = 1.0
"""How often those who watch the list are told of progress at most."""


class ActiveJob(Generic[J]):
    """A job of this process.

    Many can watch it, and it can be stopped at any moment; the first reason to stop counts. `job` is the
    engine's own record while the job waits.
    """

    __slots__ = (
        "_changed",
        "_clock",
        "_ends",
        "_output_is_told",
        "_progress_timer",
        "_progress_told",
        "_progress_told_at",
        "_task",
        "_was_interrupted",
        "job",
        "log",
        "on_change",
        "reason",
        "record",
        "started_at",
        "state",
        "submission",
        "worker",
    )

    def __init__(self, job: J, on_change: Callable[[ActiveJob[J]], None] = lambda job: None) -> None:
        self.job = job
        self.on_change = on_change
        """Called after each change but additions to the output; for progress once a second at most."""
        self.state = JobPhase.QUEUED
        self.log: OutputLog | None = None
        self.reason: StopReason | None = None
        self.record: dict[str, Any] | None = None
        """Its result as it is stored, once it has ended."""
        self.started_at: datetime | None = None
        self.submission: Submission | None = None
        self.worker: int | None = None
        self._clock = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._was_interrupted = False
        self._changed: weakref.WeakSet[asyncio.Future[None]] | None = None
        self._output_is_told = False
        self._ends: tuple[asyncio.Future[None], ...] = ()
        self._progress_told: Progress | None = None
        self._progress_told_at = 0.0
        self._progress_timer: asyncio.TimerHandle | None = None

    @property
    def shown_state(self) -> JobPhase:
        """The phase to show: a job that is not due yet is pending."""
        if self.state is JobPhase.QUEUED and self.job.run_at and self.job.run_at > utc_now():
            return JobPhase.PENDING
        return self.state

    @property
    def has_started(self) -> bool:
        """Whether its command has been started in this process."""
        return self.state is JobPhase.RUNNING

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has cancelled it."""
        return self.reason is not None and self.reason.status is JobStatus.CANCELLED

    @property
    def runtime(self) -> float | None:
        """Seconds since it started, by a monotonic clock."""
        return time.monotonic() - self._clock if self.state is JobPhase.RUNNING else None

    @property
    def progress(self) -> Progress | None:
        """The progress that the running job reported last."""
        return self.log.progress if self.log is not None and self.state is JobPhase.RUNNING else None

    def snapshot(self, position: int | None = None) -> JobState:
        """The job's current state. `position` is its place in the queue, counted from 1."""
        return JobState(
            self.job,
            self.shown_state,
            position,
            is_cancelling=self.reason is not None,
            started_at=self.started_at,
            runtime=self.runtime,
            worker=self.worker,
            output_size=self.log.size if self.log else 0,
            progress=self.progress,
            submission=self.submission,
        )

    def set_worker(self, pid: int) -> None:
        """Record the id of the process that runs it."""
        self.worker = pid
        self.announce()

    def started(self, submission: Submission, task: asyncio.Task[Any], log: OutputLog, at: datetime) -> None:
        """`task` runs the job until `left`: cancelling the task stops the job."""
        self.submission = submission
        self.state, self.log, self.started_at = JobPhase.RUNNING, log, at
        self._clock, self._task = time.monotonic(), task
        log.on_change = self._on_output
        self._progress_told = None
        self.announce()

    def left(self) -> None:
        """The task is done with the command and must no longer be cancelled."""
        task, self._task = self._task, None
        if task is not None and self._was_interrupted:
            task.uncancel()
        self._was_interrupted = False
        if self._progress_timer is not None:
            self._progress_timer.cancel()
            self._progress_timer = None

    def again(self) -> None:
        """The attempt has ended, and another will follow."""
        self.state, self.log, self.started_at, self._task = JobPhase.PENDING, None, None, None
        self.reason = None
        self.announce()

    def ended(self, record: dict[str, Any] | None) -> None:
        """The job has ended with the stored result `record`; ``None`` if another process took it."""
        self.state, self.record = JobPhase.ENDED, record
        if self.log is not None:
            self.log.on_change = None  # or else both are left to the garbage collector, with all they hold
        if self._ends:
            self._tell_end()
        self.announce()

    def let_go(self) -> None:
        """Wake all who wait for anything of it: this process is about to stop."""
        self._tell_end()
        self.notify()

    def _tell_end(self) -> None:
        ends, self._ends = self._ends, ()
        for end in ends:
            settle(end)

    def stop(self, reason: StopReason) -> None:
        if self.reason is None:
            self.reason = reason
            if self._task is not None:
                self._was_interrupted = self._task.cancel()
            self.announce()

    def _on_output(self) -> None:
        if self._changed is not None and self.log is not None and not self._output_is_told:
            self._output_is_told = True
            self.log.once_written(self._tell_output)
        if self._progress_timer is None and self.progress is not self._progress_told:
            loop = asyncio.get_running_loop()
            due = self._progress_told_at + _PROGRESS_SECONDS
            self._progress_timer = loop.call_at(max(due, loop.time()), self._tell_progress)

    def _tell_output(self) -> None:
        self._output_is_told = False
        self.notify()

    def _tell_progress(self) -> None:
        self._progress_timer = None
        self._progress_told, self._progress_told_at = self.progress, asyncio.get_running_loop().time()
        self.on_change(self)

    def announce(self) -> None:
        """Wake those who watch it, and tell those who watch the list."""
        if self._changed is not None:
            self.notify()
        self.on_change(self)

    def notify(self) -> None:
        """Wake its watchers."""
        if self._changed is not None:
            changed, self._changed = self._changed, None
            for change in changed:
                settle(change)

    async def change(self, timeout: float) -> bool:
        """Wait for a change; false if there is none within `timeout` seconds."""
        done, _ = await asyncio.wait([self.next_change()], timeout=timeout)
        return bool(done)

    def next_end(self) -> asyncio.Future[None]:
        """A future that is done when it has ended, or this process is about to stop.

        It is the caller's own: cancelled, or given a result, by whoever waits no longer.
        """
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends = (*(each for each in self._ends if not each.done()), end)
        return end

    def next_change(self) -> asyncio.Future[None]:
        """A future that is done at the next change. It is the caller's own: others have others."""
        if self._changed is None:
            self._changed = weakref.WeakSet()
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed.add(change)
        return change


def settle(waiting: asyncio.Future[None]) -> None:
    """Have whoever waits go on, unless they do already or wait no longer."""
    if not waiting.done():
        waiting.set_result(None)


class JobChanges:
    """Passes changes on to all listeners, in the event loop."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self.on_departed: Callable[[str, str], None] = lambda user_id, job_id: None
        """Told the owner and the id of each job that went to another process."""

    @contextmanager
    def watch(self, listener: Listener) -> Iterator[None]:
        """Inside the block `listener` is called for each change."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def changed(self, active: ActiveJob[Any]) -> None:
        """A job of this process is in another state than before."""
        if not self._listeners:
            return
        if active.state is not JobPhase.ENDED:
            state = active.snapshot()
            self.tell(JobChange(state.job.user_id, state.job.job_id, state=state))
        elif active.record is not None:
            self.tell(JobChange(active.job.user_id, active.job.job_id, record=active.record))
        else:
            self.on_departed(active.job.user_id, active.job.job_id)

    def deleted(self, user_id: str, job_id: str) -> None:
        """The result of a job of `user_id` was deleted."""
        self.tell(JobChange(user_id, job_id))

    def tell(self, change: JobChange) -> None:
        """Pass a change on."""
        for listener in tuple(self._listeners):
            listener(change)
