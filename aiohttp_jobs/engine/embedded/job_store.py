"""JobStore: the interface between the dispatcher and the store of jobs, and the types it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from ...model.job import JobResult, Submission, is_shared_key
from ...model.output import OutputPart, Span
from ...model.progress import Progress
from ..base import ClaimedJob, JobHistory, JobSummary, MostWaiting, Slot, slot_of


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits on waiting jobs.

    `size_of` returns, in any thread, the size in bytes of a waiting job's command; ``None`` for an unknown
    id.
    """

    most: MostWaiting
    size_of: Callable[[str], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
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
        return self.mode if self.function is None else slot_of(self.mode, self.function)

    @property
    def lock(self) -> str | None:
        """The lock that it needs: its concurrency key together with the key's owner."""
        if self.concurrency_key is None:
            return None
        owner = "" if is_shared_key(self.concurrency_key) else self.concurrency_owner or self.user_id
        return f"{owner}\0{self.concurrency_key}"


@dataclass(frozen=True, slots=True)
class Located:
    """A job that has not ended, found in the store. `run_dir` exists while some process runs it."""

    submission: Submission
    run_dir: Path | None

    @property
    def state(self) -> str:
        return "Pending" if self.run_dir is None else "Running"

    @property
    def log(self) -> Path | None:
        """The folder of its output while some process runs it."""
        return self.run_dir / "log" if self.run_dir else None


@dataclass(frozen=True, slots=True)
class LostJob:
    """A job whose host process, `instance_id`, died while it ran.

    `last_seen` is the process's last sign of life.
    """

    claimed: ClaimedJob
    instance_id: str
    started_at: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """A batch of waiting jobs; `there_are_more` to be had at once.

    `again_in` is after how many seconds to look again at files that may still be being written.
    """

    jobs: list[PendingJob]
    there_are_more: bool = False
    again_in: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What others have done on the store; see the methods of `JobStore` with these names.

    `cancel_requests` maps the ids of this process's jobs to the users who asked to cancel them.
    """

    is_paused: bool
    lost: list[LostJob]
    cancel_requests: list[tuple[str, str]]
    found: Found


@dataclass(frozen=True, slots=True)
class RunningElsewhere:
    """A job that another process runs. `output_size` is in bytes."""

    submission: Submission
    started_at: datetime
    output_size: int
    is_cancelling: bool
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class OtherProcesses:
    """The state of the other processes on the store.

    `taken` are jobs that waited here and were claimed by them. `has_news`: there may be waiting jobs that are
    not known here.
    """

    is_paused: bool
    taken: list[PendingJob]
    has_news: bool
    running: list[RunningElsewhere]


@dataclass(frozen=True, slots=True)
class ResultNews:
    """Another process has added or deleted the result of a job of `user_id`."""

    user_id: str
    job_id: str
    is_deleted: bool


NewsMark = Mapping[str, tuple[int, int]]
"""How far what each of the other processes tells has been read."""


@dataclass(frozen=True, slots=True)
class News:
    """What other processes did to results between two marks; `mark` is the later one.

    `is_whole` is false when some of it was gone before it was read.
    """

    items: list[ResultNews]
    mark: NewsMark
    is_whole: bool = True


class QueuePausedError(Exception):
    """Another process has paused the queue."""


class KeyBusyError(Exception):
    """Another process runs a job with this concurrency key."""


class JobStore(JobHistory, Protocol):
    """Stores submissions and results. Every method may be called on the event loop.

    Raises ``OSError`` when the storage fails: the operation was not done then, or will be completed by
    `lost`.
    """

    @property
    def instance_id(self) -> str:
        """Identifies this process among those that share the store. Jobs see it in their environment."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def add(self, submission: Submission, allowance: Allowance | None = None) -> Awaitable[PendingJob]:
        """Accept a job durably.

        Raises `TooManyPendingError` when `allowance` is exceeded, counted over all processes.
        """
        ...

    def start(
        self,
        submission: Submission,
        allowance: Allowance | None = None,
        placed: Callable[[str], None] | None = None,
    ) -> Awaitable[tuple[PendingJob, ClaimedJob]]:
        """`add` and `claim` in one durable step, for a job with a new id and without a concurrency key.

        `placed` is called in the event loop with the job's own folder before the step is durable, and before
        this returns; the step may fail after it. Raises `QueuePausedError` while another process has paused
        the queue.
        """
        ...

    async def look(self, known: Collection[str]) -> Look:
        """What others have done, in one call: the pause, `lost`, requests to cancel, and `scan`."""
        ...

    async def look_at_others(
        self, waiting: Callable[[], Collection[PendingJob]], known: Collection[str]
    ) -> OtherProcesses | None:
        """The state of the other processes; ``None`` when there are none.

        `waiting` returns the jobs that wait here; it is called in a thread.
        """
        ...

    async def news(self, since: NewsMark | None) -> News:
        """What other processes did to results after the mark `since`; only a mark when that is ``None``."""
        ...

    async def scan(self, known: Collection[str]) -> Found:
        """Waiting jobs whose keys are not in `known`: some hundreds, those that have waited longest."""
        ...

    def has_news(self, known: Collection[str]) -> bool:
        """Whether a look may find anything. Blocks for a few system calls."""
        ...

    def claim(self, pending: PendingJob, *, unless_paused: bool = False) -> Awaitable[ClaimedJob | None]:
        """Claim a job durably; ``None`` when another process has it, or it is gone.

        Raises `KeyBusyError` while another process runs a job with its concurrency key, and, `unless_paused`,
        `QueuePausedError` while another process has paused the queue.
        """
        ...

    async def finish(self, claimed: ClaimedJob, result: JobResult) -> dict[str, Any]:
        """Store the result durably and release the job; return the stored result."""
        ...

    async def retry(self, claimed: ClaimedJob, result: JobResult, run_at: datetime) -> PendingJob:
        """Store the result of this attempt and accept the next one, due at `run_at`, durably."""
        ...

    async def read_log(self, record: dict[str, Any], offset: int, most: int, *, whole: bool) -> OutputPart:
        """Read, from `offset` on, the stored output of an ended job whose result contains only part of it."""
        ...

    async def log_spans(self, record: dict[str, Any]) -> list[Span]:
        """The byte ranges that `read_log` can read, first to last."""
        ...

    async def locate(self, job_id: str) -> Located | None:
        """A waiting or running job of any process.

        Reads folders: use it only when nothing else knows the job.
        """
        ...

    async def request_cancel(self, job_id: str, by: str) -> bool:
        """Ask the process that runs the job to cancel it; false when none does."""
        ...

    async def set_paused(self, paused: bool) -> None:
        """Pause or resume, durably, for every process on this store."""
        ...

    async def lost(self) -> list[LostJob]:
        """Take over the jobs of dead processes; each must then be passed to `finish`."""
        ...

    async def with_result(self, job_ids: Collection[str]) -> list[str]:
        """Those of `job_ids` that have a stored result, from whichever process. Cheap: reads no result."""
        ...

    async def ended(self, job_ids: Collection[str]) -> list[str]:
        """Those of `job_ids` that have ended, in whichever process, even if their results were deleted.
        Cheap.
        """
        ...

    async def delete_result(self, job_id: str) -> bool:
        """Delete a result and its submission; false when there is none."""
        ...
