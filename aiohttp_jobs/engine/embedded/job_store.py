"""What `FileSystemStore` tells of jobs: those that wait, were found, were lost or run elsewhere, and news."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ...model.job import Submission, is_shared_key
from ...model.progress import Progress
from ..base import ClaimedJob, JobSummary, MostWaiting, Slot, slot_of


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
    """What others have done on the store; see the methods of `FileSystemStore` with these names.

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
