"""Tells watchers of the job list what changes, as it changes; each watcher reads at its own pace.

Which changes somebody may see is left to the caller, what a job looks like to ``serializers``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..engine.base import MISSED, EventBus, JobChange
from .serializers import ended_feed_view, job_view

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
    """`events` tells of the changes; it is listened to while somebody watches, and no longer."""

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
