"""The jobs that wait, in memory: who is next, how many each user has. Does no I/O."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, KeysView
from datetime import datetime

from ..models import ExecutionMode
from ..store.base import PendingJob


class PendingJobs:
    """First in, first out by submission time, among the jobs whose mode has room.

    A job that was taken stays known until `forget`, so that a scan does not find it again.
    """

    def __init__(self) -> None:
        self._known: dict[str, PendingJob] = {}
        self._waiting: dict[ExecutionMode | None, list[tuple[datetime, int, PendingJob]]] = {}
        self._per_user: Counter[str] = Counter()
        self._owners: dict[str, str] = {}
        self._sequence = 0

    @property
    def keys(self) -> KeysView[str]:
        return self._known.keys()

    def count(self, user_id: str) -> int:
        """How many of the user's jobs wait."""
        return self._per_user[user_id]

    def owner(self, job_id: str) -> str | None:
        """The user whose waiting job this is."""
        return self._owners.get(job_id)

    def add(self, job: PendingJob) -> None:
        if job.key in self._known:
            return
        self._known[job.key] = job
        self._sequence += 1
        queue = self._waiting.setdefault(job.mode, [])
        heapq.heappush(queue, (job.submitted_at, self._sequence, job))
        self._per_user[job.user_id] += 1
        self._owners[job.job_id] = job.user_id

    def take(self, modes: Collection[ExecutionMode]) -> PendingJob | None:
        """The oldest waiting job of one of `modes`, or one that is only to be rejected."""
        queues = [queue for mode, queue in self._waiting.items() if queue and (mode is None or mode in modes)]
        if not queues:
            return None
        job = heapq.heappop(min(queues))[2]
        self._owners.pop(job.job_id, None)
        self._per_user[job.user_id] -= 1
        if not self._per_user[job.user_id]:
            del self._per_user[job.user_id]
        return job

    def forget(self, key: str) -> None:
        self._known.pop(key, None)
