"""JobStore: what this engine's dispatcher asks of the place where jobs lie, and what it is told there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
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
    """What may wait. `size_of` tells, in any thread, the bytes of a waiting job's command by the job's id,
    ``None`` for one that is not known."""

    most: MostWaiting
    size_of: Callable[[str], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingJob(JobSummary):
    """An accepted job that waits. Small on purpose: ten thousand of them may wait in memory.

    `problem` says why it cannot run; such a job is picked up only to be recorded as rejected.
    `size` is that of its command in bytes, `function` the name of the host's function that it runs.
    `function_version` is the one that it was submitted with. `concurrency_owner` is whose the concurrency key
    is, if not the user's own.
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
        """What no two running jobs may have in common: the concurrency key, and whose key it is."""
        if self.concurrency_key is None:
            return None
        owner = "" if is_shared_key(self.concurrency_key) else self.concurrency_owner or self.user_id
        return f"{owner}\0{self.concurrency_key}"


@dataclass(frozen=True, slots=True)
class Located:
    """A job that has not ended, found in the store. `run_dir` is there while some process runs it."""

    submission: Submission
    run_dir: Path | None

    @property
    def state(self) -> str:
        return "Pending" if self.run_dir is None else "Running"

    @property
    def log(self) -> Path | None:
        """Where its output is written, while some process runs it."""
        return self.run_dir / "log" if self.run_dir else None


@dataclass(frozen=True, slots=True)
class LostJob:
    """A job whose host process, `instance_id`, died while it ran. `last_seen`: its last sign of life."""

    claimed: ClaimedJob
    instance_id: str
    started_at: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """A portion of waiting jobs; `there_are_more` to be had at once.

    `again_in`: the seconds after which files that may still be being written are worth another look.
    """

    jobs: list[PendingJob]
    there_are_more: bool = False
    again_in: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What others have done on the store; see the methods of `JobStore` with these names.

    `cancel_requests`: which of this process's jobs others asked to cancel, by id, and who asked.
    """

    is_paused: bool
    lost: list[LostJob]
    cancel_requests: list[tuple[str, str]]
    found: Found


@dataclass(frozen=True, slots=True)
class RunningElsewhere:
    """A job that another process runs. `output_size` is how many bytes it has printed so far."""

    submission: Submission
    started_at: datetime
    output_size: int
    is_cancelling: bool
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class OtherProcesses:
    """What the other processes on the store do. `taken`: jobs that waited here and have been taken by them.

    `has_news`: there may be waiting jobs that are not known here.
    """

    is_paused: bool
    taken: list[PendingJob]
    has_news: bool
    running: list[RunningElsewhere]


@dataclass(frozen=True, slots=True)
class ResultNews:
    """Another process has added the result of a job of `user_id`, or deleted it."""

    user_id: str
    job_id: str
    is_deleted: bool


NewsMark = Mapping[str, tuple[int, int]]
"""How far what each of the other processes tells has been read."""


@dataclass(frozen=True, slots=True)
class News:
    """What other processes did to results between one `mark` and the next, which is this one's `mark`.

    `is_whole`: nothing of it was gone before it was read.
    """

    items: list[ResultNews]
    mark: NewsMark
    is_whole: bool = True


class QueuePausedError(Exception):
    """Another process has paused the queue."""


class KeyBusyError(Exception):
    """Another process runs a job with this concurrency key."""


class JobStore(JobHistory, Protocol):
    """Keeps submissions and results. Every method may be called from the event loop.

    Raises ``OSError`` when the storage fails; what was asked has then not happened, or will be
    taken up by `lost`.
    """

    @property
    def instance_id(self) -> str:
        """Names this process among those that share the store; jobs carry it in their environment."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def add(self, submission: Submission, allowance: Allowance | None = None) -> PendingJob:
        """Accept a job durably: once this returns, it is never lost.

        Raises `TooManyPendingError` when that is more than `allowance`, counted over all processes.
        """
        ...

    async def start(
        self, submission: Submission, allowance: Allowance | None = None
    ) -> tuple[PendingJob, ClaimedJob]:
        """`add` and `claim` in one durable step, for a job whose id is new and that needs no key.

        Raises `QueuePausedError` while another process has paused the queue.
        """
        ...

    async def look(self, known: Collection[str]) -> Look:
        """What others have done, in one: the pause, `lost`, requests to cancel, and `scan`."""
        ...

    async def look_at_others(
        self, waiting: Callable[[], Collection[PendingJob]], known: Collection[str]
    ) -> OtherProcesses | None:
        """What other processes do; ``None`` when there are none.

        `waiting` tells which jobs wait here. It is called in a thread.
        """
        ...

    async def news(self, since: NewsMark | None) -> News:
        """What other processes did to results since that mark; nothing but a mark when there is none yet."""
        ...

    async def scan(self, known: Collection[str]) -> Found:
        """Waiting jobs whose keys are not in `known`: some hundred, those that wait longest."""
        ...

    def has_news(self, known: Collection[str]) -> bool:
        """Whether a look may find anything: a few system calls. Blocks."""
        ...

    async def claim(self, pending: PendingJob, *, unless_paused: bool = False) -> ClaimedJob | None:
        """Take a job durably; ``None`` when another process has it or it is gone.

        Raises `KeyBusyError` while another process runs a job with its concurrency key, and, `unless_paused`,
        `QueuePausedError` while another process has paused the queue.
        """
        ...

    async def finish(self, claimed: ClaimedJob, result: JobResult) -> dict[str, Any]:
        """Keep the result durably and let go of the job; the result as it is stored."""
        ...

    async def retry(self, claimed: ClaimedJob, result: JobResult, run_at: datetime) -> PendingJob:
        """Keep the result of this attempt and accept the next one, due at `run_at`, durably."""
        ...

    async def read_log(self, record: dict[str, Any], offset: int, most: int, *, whole: bool) -> OutputPart:
        """From `offset` on, in the kept output of an ended job whose result has not all of it."""
        ...

    async def log_spans(self, record: dict[str, Any]) -> list[Span]:
        """The stretches without a gap that `read_log` has, first to last."""
        ...

    async def locate(self, job_id: str) -> Located | None:
        """A job that waits or runs in any process. Reads folders: for what is known nowhere else."""
        ...

    async def request_cancel(self, job_id: str, by: str) -> bool:
        """Ask whichever process runs the job to cancel it; false when none does."""
        ...

    async def set_paused(self, paused: bool) -> None:
        """Durably, and for every process on this store."""
        ...

    async def lost(self) -> list[LostJob]:
        """Take over the jobs of processes that died; each must then be given to `finish`."""
        ...

    async def with_result(self, job_ids: Collection[str]) -> list[str]:
        """Those of `job_ids` whose results are kept, whichever process wrote them. Cheap: reads no result."""
        ...

    async def ended(self, job_ids: Collection[str]) -> list[str]:
        """Those of `job_ids` that have ended, in whichever process, their results kept or deleted. Cheap."""
        ...

    async def delete_result(self, job_id: str) -> bool:
        """Delete a result and its submission; false when there is none."""
        ...
