"""Tells watchers of the job list what changes, as it changes; each watcher reads at its own pace.

Which changes somebody may see is left to the caller, what a job looks like to ``serializers``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from ..engine.embedded.active import ActiveJob
from ..model.job import JobPhase

MOST_CHANGES = 1000
"""How many jobs' news are kept for a watcher that is behind; beyond that it has to load the list anew."""


@dataclass(frozen=True, slots=True)
class JobListChange:
    """One thing to tell: ``job``, ``removed``, ``heartbeat``, ``hello`` (from now on nothing is missed) or
    ``resync`` (something was missed: load the list anew)."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)


class _Watcher:
    """The news that one watcher has not read yet: of each job only the last."""

    __slots__ = ("changes", "lost", "wake", "wants")

    def __init__(self, wants: Callable[[str], bool]) -> None:
        self.wants = wants
        self.changes: dict[str, JobListChange] = {}
        self.lost = False
        self.wake = asyncio.Event()

    def note(self, job_id: str, change: JobListChange, most: int) -> None:
        if not self.lost:
            self.changes[job_id] = change
            if len(self.changes) > most:
                self.changes.clear()
                self.lost = True
        self.wake.set()

    def take(self) -> list[JobListChange]:
        self.wake.clear()
        taken = [JobListChange("resync")] if self.lost else []
        self.lost = False
        taken += self.changes.values()
        self.changes = {}
        return taken


class JobFeed:
    """`show` makes what is told of a job; it is asked only when somebody watches."""

    def __init__(self, show: Callable[[ActiveJob], dict[str, Any]], most: int = MOST_CHANGES) -> None:
        self._show = show
        self._most = most
        self._watchers: set[_Watcher] = set()
        self._closed = False

    def changed(self, active: ActiveJob) -> None:
        """The job is in another state than before."""
        if not self._watchers:
            return
        if active.state is JobPhase.ENDED and active.record is None:
            return  # it went to another process, which tells of it
        watchers = self._watchers_of(active.job.user_id)
        if watchers:
            self._tell(watchers, active.job.job_id, JobListChange("job", self._show(active)))

    def removed(self, user_id: str, job_id: str) -> None:
        """The result of a job of `user_id` was deleted."""
        self._tell(self._watchers_of(user_id), job_id, JobListChange("removed", {"JobID": job_id}))

    def close(self) -> None:
        """Let all watchers go; for when the server stops."""
        self._closed = True
        for watcher in self._watchers:
            watcher.wake.set()

    async def watch(
        self, wants: Callable[[str], bool], heartbeat: float, lifetime: float
    ) -> AsyncGenerator[JobListChange, None]:
        """``hello``, then every change of jobs whose owner `wants` holds for, for `lifetime` seconds at most.

        `heartbeat` seconds without news are told too, so that a watcher that left is noticed.
        """
        watcher = _Watcher(wants)
        self._watchers.add(watcher)
        clock = asyncio.get_running_loop().time
        end = clock() + lifetime
        try:
            yield JobListChange("hello")
            while not self._closed and (left := end - clock()) > 0:
                if await _woken(watcher.wake, min(heartbeat, left)):
                    for change in watcher.take():
                        yield change
                else:
                    yield JobListChange("heartbeat")
        finally:
            self._watchers.discard(watcher)

    def _watchers_of(self, user_id: str) -> list[_Watcher]:
        return [watcher for watcher in self._watchers if watcher.wants(user_id)]

    def _tell(self, watchers: list[_Watcher], job_id: str, change: JobListChange) -> None:
        for watcher in watchers:
            watcher.note(job_id, change, self._most)


async def _woken(event: asyncio.Event, timeout: float) -> bool:
    try:
        async with asyncio.timeout(timeout):
            return await event.wait()
    except TimeoutError:
        return False
