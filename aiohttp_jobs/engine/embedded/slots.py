"""How many jobs run at once, of each mode, each user and each key, and whether one more may. In memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ..base import Limits, Slot
from .job_store import PendingJob


class Slots:
    """What runs in this process, counted against `limits`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._running: Counter[Slot] = Counter()
        self._users: Counter[str] = Counter()
        self._locks: set[str] = set()

    def with_room(self) -> Collection[Slot]:
        found: list[Slot] = [None]
        if self.limits.overall is None or self._running.total() < self.limits.overall:
            found += [slot for slot, limit in self.limits.modes.items() if self._running[slot] < limit]
        return found

    def may_start(self, job: PendingJob) -> bool:
        """Whether neither its user nor its key stands in the way."""
        if not self.has_room_for(job.user_id):
            return False
        lock = job.lock
        return lock is None or lock not in self._locks

    def has_room_for(self, user_id: str) -> bool:
        return not self.limits.per_user or self._users[user_id] < self.limits.per_user

    def take(self, slot: Slot, user_id: str) -> None:
        self._running[slot] += 1
        self._users[user_id] += 1

    def free(self, slot: Slot, user_id: str) -> None:
        self._running[slot] -= 1
        self._users[user_id] -= 1
        if not self._users[user_id]:
            del self._users[user_id]

    def take_lock(self, lock: str | None) -> None:
        if lock is not None:
            self._locks.add(lock)

    def free_lock(self, lock: str | None) -> None:
        if lock is not None:
            self._locks.discard(lock)
