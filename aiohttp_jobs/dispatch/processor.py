"""The periodic task: picks submissions up, has them run as their modes' limits allow, keeps results.

How one job is run is left to ``lifecycle``, where jobs lie to the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Collection, Coroutine, Mapping

from ..execution.process import INSTANCE_VARIABLE, kill_marked
from ..models import ExecutionMode, JobResult, JobStatus
from ..store.base import ClaimedJob, JobStore, LostJob, PendingJob
from .lifecycle import JobRunner
from .pending import PendingJobs
from .running import RunningJob, StopReason

_RETRY_SECONDS = 0.5
_MAX_RETRY_SECONDS = 30.0
_CLOSE_SECONDS = 30.0

_SHUT_DOWN = StopReason(JobStatus.INTERRUPTED, "The job was stopped because the server shut down.")
_logger = logging.getLogger(__name__)


class JobProcessor:
    """Runs the jobs of `store`: at most ``limits[mode]`` at once, looking every `interval` seconds
    for files that other programs dropped, and at once when it is woken.

    MainLoop jobs run one at a time and hold up the start of all others, as the specification has it.
    """

    def __init__(
        self,
        store: JobStore,
        runner: JobRunner,
        *,
        limits: Mapping[ExecutionMode, int],
        interval: float,
    ) -> None:
        self._store = store
        self._runner = runner
        self._limits = limits
        self._interval = interval
        self._pending = PendingJobs()
        self._running: dict[str, RunningJob] = {}
        self._used: Counter[ExecutionMode | None] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self._loop_task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._loop_task = asyncio.create_task(self._run(), name="aiohttp-jobs-processor")

    async def close(self, grace: float) -> None:
        """Start nothing more, give running jobs `grace` seconds, then stop and record them."""
        self.begin_closing()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for job in list(self._running.values()):
            job.stop(_SHUT_DOWN)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task

    def begin_closing(self) -> None:
        """Start nothing more from now on."""
        self._closing = True
        self._wake.set()

    @property
    def is_closing(self) -> bool:
        return self._closing

    def enqueue(self, job: PendingJob) -> None:
        """Take notice of a job that was just added to the store."""
        self._pending.add(job)
        self._wake.set()

    def pending_count(self, user_id: str) -> int:
        return self._pending.count(user_id)

    def owner(self, job_id: str) -> str | None:
        """The user whose job this is if it waits or runs here, else ``None``."""
        if job_id in self._running:
            return self._running[job_id].user_id
        return self._pending.owner(job_id)

    async def _run(self) -> None:
        next_scan = 0.0
        while not self._closing:
            if time.monotonic() >= next_scan:
                await self._look_around()
                next_scan = time.monotonic() + self._interval
            await self._start_ready()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(0.0, next_scan - time.monotonic()))
            self._wake.clear()

    async def _look_around(self) -> None:
        """Find dropped files and the jobs of processes that died. Whatever fails is tried again."""
        try:
            await self._record_lost(await self._store.lost())
            for job in await self._store.scan(self._pending.keys):
                self._pending.add(job)
        except Exception:
            _logger.exception("Cannot look for submissions; trying again in %g s", self._interval)

    async def _record_lost(self, jobs: Collection[LostJob]) -> None:
        for instance_id in {job.instance_id for job in jobs}:
            killed = await asyncio.to_thread(kill_marked, INSTANCE_VARIABLE, instance_id)
            _logger.warning("A host process died; %d processes of its jobs were ended", killed)
        for job in jobs:
            self._track(self._keep(job.claimed, await self._runner.lost(job)))

    async def _start_ready(self) -> None:
        while not self._closing and (job := self._pending.take(self._modes_with_room())):
            self._used[job.mode] += 1
            task = self._track(self._process(job))
            if job.mode is ExecutionMode.MAIN_LOOP:
                await asyncio.wait([task])

    def _modes_with_room(self) -> Collection[ExecutionMode]:
        return [mode for mode, limit in self._limits.items() if self._used[mode] < limit]

    def _track(self, job: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _process(self, pending: PendingJob) -> None:
        running = RunningJob(pending.job_id, pending.user_id)
        self._running[pending.job_id] = running
        try:
            claimed = await self._store.claim(pending)
            if claimed is not None:
                await self._keep(claimed, await self._run_claimed(claimed, running))
        except Exception:
            # Still pending on disk: forgotten here, the next scan finds it again.
            _logger.exception("Job %s could not be picked up; it stays pending", pending.job_id)
        finally:
            del self._running[pending.job_id]
            self._pending.forget(pending.key)
            self._used[pending.mode] -= 1
            self._wake.set()

    async def _run_claimed(self, claimed: ClaimedJob, running: RunningJob) -> JobResult:
        try:
            return await self._runner.run(claimed, running)
        except Exception:
            _logger.exception("Job %s failed inside the server", claimed.job_id)
            return self._runner.rejected(
                claimed, "The server met an error of its own with this job; see its log."
            )

    async def _keep(self, claimed: ClaimedJob, result: JobResult) -> None:
        """Write the result; while that fails (a full disk), hold on to it and try again."""
        delay = _RETRY_SECONDS
        while True:
            try:
                await self._store.finish(claimed, result)
            except OSError:
                _logger.exception("The result of job %s cannot be written", result.job_id)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _MAX_RETRY_SECONDS)
            else:
                return
