"""Jobs that wait, which is next, and whether one more may run: priority, fairness, limits. Does no I/O."""

from __future__ import annotations

import heapq
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, zip_longest
from operator import attrgetter

from ...model.job import ExecutionMode, is_shared_key, utc_now
from ..base import JobSummary, Limits, MostWaiting, Slot, slot_of

_MAIN_LOOP = ExecutionMode.MAIN_LOOP
_LOOK_AHEAD = 64
"""How many of one user's jobs are looked at for one that may start."""
_SUBMITTED = attrgetter("submitted_at", "job_id")


@dataclass(slots=True, kw_only=True)
class PendingJob(JobSummary):
    """An accepted job that waits. Kept small, because ten thousand of them may be in memory.

    `problem` says why it cannot run; such a job is claimed only to be recorded as rejected. `size` is its
    command's in bytes, `function` the name of the host's function that it runs, `function_version` the
    version it was submitted with. `concurrency_owner` owns the concurrency key, if not the job's user.
    """

    key: str
    stem: str
    concurrency_owner: str | None = None
    problem: str | None = None
    size: int = 0
    function: str | None = None
    function_version: str | None = None

    @property
    def slot(self) -> Slot:
        # As `slot_of` has it, which many ask for of each job.
        return self.mode if self.mode is not _MAIN_LOOP else slot_of(self.mode, self.function)

    @property
    def lock(self) -> str | None:
        """The lock that it needs: its concurrency key together with the key's owner."""
        if self.concurrency_key is None:
            return None
        owner = "" if is_shared_key(self.concurrency_key) else self.concurrency_owner or self.user_id
        return f"{owner}\0{self.concurrency_key}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits on waiting jobs.

    `size_of` returns, in any thread, the size in bytes of a waiting job's command; ``None`` for an unknown
    id.
    """

    most: MostWaiting
    size_of: Callable[[str], int | None]


class QueuePausedError(Exception):
    """Another process has paused the queue."""


class KeyBusyError(Exception):
    """Another process runs a job with this concurrency key."""


Lane = OrderedDict[str, deque[PendingJob]]


class WaitingJobs:
    """The waiting jobs. Higher priority goes first; within one, users take turns, each first in, first out.

    A job that has waited `starvation` seconds goes before all others. Jobs that are not due yet wait
    separately.
    """

    def __init__(self, starvation: float) -> None:
        self._starvation = starvation
        self._jobs: dict[str, PendingJob] = {}
        self._since: dict[str, float] = {}
        self._lanes: dict[tuple[int, Slot], Lane] = {}
        self._oldest: deque[PendingJob] = deque()
        self._later: list[tuple[datetime, int, PendingJob]] = []
        self._sequence = 0
        self._per_user: Counter[str] = Counter()
        self._bytes_per_user: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, job_id: str) -> PendingJob | None:
        return self._jobs.get(job_id)

    def jobs(self) -> list[PendingJob]:
        """All waiting jobs, in no order. From any thread."""
        return list(self._jobs.values())

    def size_of(self, job_id: str) -> int | None:
        """The size in bytes of a waiting job's command. From any thread."""
        job = self._jobs.get(job_id)
        return None if job is None else job.size

    def count(self, user_id: str) -> int:
        """How many of the user's jobs wait."""
        return self._per_user.get(user_id, 0)

    def size(self, user_id: str) -> int:
        """How many bytes the commands of the user's waiting jobs have."""
        return self._bytes_per_user.get(user_id, 0)

    def add(self, job: PendingJob) -> None:
        if job.job_id in self._jobs:
            return
        self._jobs[job.job_id] = job
        self._per_user[job.user_id] += 1
        self._bytes_per_user[job.user_id] += job.size
        if job.run_at is not None and job.run_at > utc_now():
            self._sequence += 1
            heapq.heappush(self._later, (job.run_at, self._sequence, job))
        else:
            self._line_up(job)

    def remove(self, job_id: str) -> PendingJob | None:
        """Remove a job, in whatever place."""
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._since.pop(job_id, None)
            self._per_user[job.user_id] -= 1
            self._bytes_per_user[job.user_id] -= job.size
            if not self._per_user[job.user_id]:
                del self._per_user[job.user_id], self._bytes_per_user[job.user_id]
        return job

    def next_due(self) -> datetime | None:
        """When the next job becomes due that is not yet."""
        while self._later and self._later[0][2].job_id not in self._jobs:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def take(
        self, has_room: Callable[[Slot], bool], may_start: Callable[[PendingJob], bool]
    ) -> PendingJob | None:
        """Remove and return the next job of a slot that `has_room` among those that `may_start`."""
        if self._later:
            self._promote()
        lanes = [lane for lane in self._lanes if has_room(lane[1])]
        if not lanes:
            return None
        job = self._starving(lanes, may_start) or self._best(lanes, may_start)
        if job is not None:
            self._served(job)
            self.remove(job.job_id)
        return job

    def in_order(self) -> list[PendingJob]:
        """The due jobs in the order in which they would start."""
        self._promote()
        ordered: list[PendingJob] = []
        waiting = self._jobs
        for priority in sorted({lane[0] for lane in self._lanes}, reverse=True):
            users: Lane = OrderedDict()
            for (lane_priority, _), lane in self._lanes.items():
                if lane_priority == priority:
                    for user, jobs in lane.items():
                        due = [job for job in jobs if waiting.get(job.job_id) is job]
                        users.setdefault(user, deque()).extend(due)
            turns = [sorted(jobs, key=_SUBMITTED) for jobs in users.values()]
            ordered.extend(job for turn in zip_longest(*turns) for job in turn if job is not None)
        return ordered

    def not_due(self) -> list[PendingJob]:
        return [job for _, _, job in sorted(self._later) if job.job_id in self._jobs]

    def due_after(self, moment: datetime) -> Iterator[PendingJob]:
        """The waiting jobs that are not due at `moment`, in no order."""
        return (job for due, _, job in self._later if due > moment and self._waits(job))

    def _waits(self, job: PendingJob) -> bool:
        return self._jobs.get(job.job_id) is job

    def _line_up(self, job: PendingJob) -> None:
        self._since[job.job_id] = time.monotonic()
        self._oldest.append(job)
        lane = self._lanes.setdefault((job.priority, job.slot), OrderedDict())
        lane.setdefault(job.user_id, deque()).append(job)

    def _promote(self) -> None:
        now = utc_now()
        while (due := self.next_due()) is not None and due <= now:
            self._line_up(heapq.heappop(self._later)[2])

    def _starving(
        self, lanes: Sequence[tuple[int, Slot]], may_start: Callable[[PendingJob], bool]
    ) -> PendingJob | None:
        self._drop_gone(self._oldest)
        limit = time.monotonic() - self._starvation
        if not self._oldest or self._since[self._oldest[0].job_id] > limit:
            return None
        # Of each user, so that nobody's jobs that wait for something else hide those of the others.
        found = [
            job
            for lane in lanes
            for jobs in self._lanes[lane].values()
            if (job := self._first_starving(jobs, limit, may_start)) is not None
        ]
        return min(found, key=lambda job: self._since[job.job_id], default=None)

    def _first_starving(
        self, jobs: deque[PendingJob], limit: float, may_start: Callable[[PendingJob], bool]
    ) -> PendingJob | None:
        self._drop_gone(jobs)
        for job in islice(jobs, _LOOK_AHEAD):
            if self._waits(job):
                if self._since[job.job_id] > limit:
                    return None
                if may_start(job):
                    return job
        return None

    def _best(
        self, lanes: Sequence[tuple[int, Slot]], may_start: Callable[[PendingJob], bool]
    ) -> PendingJob | None:
        best: PendingJob | None = None
        for lane in lanes:
            if best is not None and lane[0] < best.priority:
                continue
            head = self._head(lane, may_start)
            if head is not None and (best is None or _comes_before(head, best)):
                best = head
        return best

    def _head(self, key: tuple[int, Slot], may_start: Callable[[PendingJob], bool]) -> PendingJob | None:
        """Of the first user whose turn it is and who has a job that may start, that job."""
        lane, found, empty = self._lanes[key], None, []
        for user, jobs in lane.items():
            found = self._first(jobs, may_start)
            if found is not None:
                break
            if not jobs:
                empty.append(user)
        for user in empty:
            del lane[user]
        if not lane:
            del self._lanes[key]
        return found

    def _first(self, jobs: deque[PendingJob], may_start: Callable[[PendingJob], bool]) -> PendingJob | None:
        waiting = self._jobs
        while jobs and waiting.get(jobs[0].job_id) is not jobs[0]:
            jobs.popleft()  # it is gone
        for job in islice(jobs, _LOOK_AHEAD):
            if waiting.get(job.job_id) is job and may_start(job):
                return job
        return None

    def _drop_gone(self, jobs: deque[PendingJob]) -> None:
        """Take out what comes first and no longer waits."""
        while jobs and self._jobs.get(jobs[0].job_id) is not jobs[0]:
            jobs.popleft()

    def _served(self, job: PendingJob) -> None:
        lane = self._lanes.get((job.priority, job.slot))
        if lane is not None and job.user_id in lane:
            lane.move_to_end(job.user_id)


def _comes_before(job: PendingJob, other: PendingJob) -> bool:
    """Of two jobs that are the first of their lanes."""
    if job.priority != other.priority:
        return job.priority > other.priority
    return (job.submitted_at, job.job_id) < (other.submitted_at, other.job_id)


class Slots:
    """What runs in this process, counted against `limits`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._running: Counter[Slot] = Counter()
        self._users: Counter[str] = Counter()
        self._locks: set[str] = set()

    def has_room(self, slot: Slot) -> bool:
        """Whether one more may run of `slot`; of what only gets a result, always."""
        if slot is None:
            return True
        overall = self.limits.overall
        if overall is not None and self._running.total() >= overall:
            return False
        return self._running[slot] < self.limits.modes.get(slot, 0)

    def may_start(self, job: PendingJob) -> bool:
        """Whether neither its user nor its key stands in the way."""
        if self.limits.per_user and not self.has_room_for(job.user_id):
            return False
        return job.concurrency_key is None or job.lock not in self._locks

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

    def take_lock(self, lock: str) -> None:
        self._locks.add(lock)

    def free_lock(self, lock: str) -> None:
        self._locks.discard(lock)
