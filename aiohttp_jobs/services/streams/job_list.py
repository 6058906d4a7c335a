"""Publishes changes of the job list to watchers, each of which reads at its own pace.

The caller decides which changes a watcher may see; ``serializers`` formats the jobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...engine.base import MISSED, EventBus, JobChange
from .serializers import ended_feed_view, job_view

MOST_CHANGES = 1000
"""How many jobs' news are kept for a watcher that is behind; beyond that it has to load the list anew."""


@dataclass(frozen=True, slots=True)
class JobListChange:
    """One event: ``job``, ``removed``, ``heartbeat``, ``hello`` (nothing is missed from now on) or ``resync``
    (changes were missed: reload the list).
    """

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
                self.lose()
        self.wake.set()

    def lose(self) -> None:
        """Something was missed."""
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
    """Passes on the changes that `events` publishes; it subscribes only while somebody watches."""

    def __init__(self, events: EventBus, most: int = MOST_CHANGES) -> None:
        self._events = events
        self._most = most
        self._watchers: set[_Watcher] = set()
        self._last: tuple[JobChange, JobListChange] | None = None
        self._closed = False

    def _note(self, watcher: _Watcher, change: JobChange) -> None:
        if change is MISSED:
            watcher.lose()
            return
        if watcher.wants(change.user_id):
            # Many who watch are told of the same change one after the other.
            if self._last is None or self._last[0] is not change:
                self._last = change, _shown(change)
            watcher.note(change.job_id, self._last[1], self._most)

    def close(self) -> None:
        """End all watchers, because the server stops."""
        self._closed = True
        for watcher in self._watchers:
            watcher.wake.set()

    async def watch(
        self, wants: Callable[[str], bool], heartbeat: float, lifetime: float
    ) -> AsyncGenerator[JobListChange, None]:
        """``hello``, then every change of jobs whose owner `wants` accepts, for at most `lifetime` seconds.

        A ``heartbeat`` follows `heartbeat` seconds without news, so that a disconnected watcher is noticed.
        """
        watcher = _Watcher(wants)
        async with self._events.watch(partial(self._note, watcher)):
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


def _shown(change: JobChange) -> JobListChange:
    if change.state is not None:
        return JobListChange("job", job_view(change.state))
    if change.record is not None:
        return JobListChange("job", ended_feed_view(change.record))
    return JobListChange("removed", {"JobID": change.job_id})


async def _woken(event: asyncio.Event, timeout: float) -> bool:
    try:
        async with asyncio.timeout(timeout):
            return await event.wait()
    except TimeoutError:
        return False
