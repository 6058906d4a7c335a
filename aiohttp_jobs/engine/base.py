"""What dispatch and the service ask of a store, whichever engine keeps the jobs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from ..model.job import (
    DEFAULT_PRIORITY,
    ExecutionMode,
    JobResult,
    JobStatus,
    Submission,
    is_shared_key,
)
from ..worker.output.segments import Part, Span


@dataclass(frozen=True, slots=True)
class PendingJob:
    """An accepted job that waits. Small on purpose: ten thousand of them may wait in memory.

    `problem` says why it cannot run; such a job is picked up only to be recorded as rejected.
    `size` is that of its command in bytes. `concurrency_owner` is whose the concurrency key is, if not the
    user's own.
    """

    key: str
    stem: str
    job_id: str
    user_id: str
    job_name: str
    mode: ExecutionMode | None
    submitted_at: datetime
    priority: int = DEFAULT_PRIORITY
    run_at: datetime | None = None
    concurrency_key: str | None = None
    concurrency_owner: str | None = None
    attempt: int = 1
    problem: str | None = None
    size: int = 0

    @property
    def lock(self) -> str | None:
        """What no two running jobs may have in common: the concurrency key, and whose key it is."""
        if self.concurrency_key is None:
            return None
        owner = "" if is_shared_key(self.concurrency_key) else self.concurrency_owner or self.user_id
        return f"{owner}\0{self.concurrency_key}"


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that this process, and no other, owns until it is finished.

    `problem` is set when what was claimed must not run. `run_dir` is a private folder for what the host
    keeps about the running job, `job_dir` the job's own, elsewhere, with the folder `execution.base.WORK` in
    it (empty for a lost job, which does not run again); both go when it is finished. `lock` is the
    `PendingJob.lock` that is held for it. `accepted_here`: it is, to the byte, what this process accepted.
    """

    job_id: str
    submission: Submission
    run_dir: str
    job_dir: str = ""
    problem: str | None = None
    lock: str | None = None
    accepted_here: bool = False


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
    """What others have done on the store; see the methods of `JobStore` with these names."""

    is_paused: bool
    lost: list[LostJob]
    cancel_requests: list[tuple[str, str]]
    found: Found


class KeyBusyError(Exception):
    """Another process runs a job with this concurrency key."""


class JobStore(Protocol):
    """Keeps submissions and results. Every method may be called from the event loop.

    Raises ``OSError`` when the storage fails; what was asked has then not happened, or will be
    taken up by `recover`.
    """

    @property
    def instance_id(self) -> str:
        """Names this process among those that share the store; jobs carry it in their environment."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def add(self, submission: Submission) -> PendingJob:
        """Accept a job durably: once this returns, it is never lost."""
        ...

    async def start(self, submission: Submission) -> tuple[PendingJob, ClaimedJob]:
        """`add` and `claim` in one durable step, for a job whose id is new and that needs no key."""
        ...

    async def look(self, known: Collection[str]) -> Look:
        """`is_paused`, `lost`, `cancel_requests` and `scan` in one."""
        ...

    async def scan(self, known: Collection[str]) -> Found:
        """Waiting jobs whose keys are not in `known`: some hundred, those that wait longest."""
        ...

    def has_news(self, known: Collection[str]) -> bool:
        """Whether a look may find anything: a few system calls. Blocks."""
        ...

    async def claim(self, pending: PendingJob) -> ClaimedJob | None:
        """Take a job durably; ``None`` when another process has it or it is gone.

        Raises `KeyBusyError` while another process runs a job with its concurrency key.
        """
        ...

    async def finish(self, claimed: ClaimedJob, result: JobResult) -> dict[str, Any]:
        """Keep the result durably and let go of the job; the result as it is stored."""
        ...

    async def retry(self, claimed: ClaimedJob, result: JobResult, run_at: datetime) -> PendingJob:
        """Keep the result of this attempt and accept the next one, due at `run_at`, durably."""
        ...

    async def attempts(self, submission: Submission) -> list[dict[str, Any]]:
        """The kept results of the attempts before this one, first to last."""
        ...

    async def attempts_of(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """The same for a job that has ended, by its stored result."""
        ...

    async def submission_of(self, record: dict[str, Any]) -> Submission | None:
        """The submission of a job that has ended, by its stored result; ``None``: gone, or not valid."""
        ...

    async def read_log(self, record: dict[str, Any], offset: int, most: int, *, whole: bool) -> Part:
        """From `offset` on, in the kept output of an ended job whose result has not all of it."""
        ...

    async def log_spans(self, record: dict[str, Any]) -> list[Span]:
        """The stretches without a gap that `read_log` has, first to last."""
        ...

    async def was_used(self, job_id: str) -> bool:
        """Whether a job with this id has ended, its result kept or deleted."""
        ...

    async def locate(self, job_id: str) -> Located | None:
        """A job that waits or runs in any process. Reads folders: for what is known nowhere else."""
        ...

    async def request_cancel(self, job_id: str, by: str) -> bool:
        """Ask whichever process runs the job to cancel it; false when none does."""
        ...

    async def cancel_requests(self) -> list[tuple[str, str]]:
        """Which of this process's jobs others asked to cancel: the job's id and who asked."""
        ...

    async def is_paused(self) -> bool: ...

    async def set_paused(self, paused: bool) -> None:
        """Durably, and for every process on this store."""
        ...

    async def lost(self) -> list[LostJob]:
        """Take over the jobs of processes that died; each must then be given to `finish`."""
        ...

    async def list_results(
        self, user_id: str | None, limit: int, id_prefix: str = ""
    ) -> list[dict[str, Any]]:
        """The user's results without their outputs, or everyone's, most recently completed first.

        With `id_prefix`, only those of jobs whose ids have these digits first.
        """
        ...

    async def previous_status(self, user_id: str, job_name: str, before: datetime) -> JobStatus | None:
        """How the user's last job of that name that ended before `before` ended; not cancelled ones."""
        ...

    async def get_result(self, job_id: str) -> dict[str, Any] | None: ...

    async def with_result(self, job_ids: Collection[str]) -> list[str]:
        """Those of `job_ids` whose results are kept, whichever process wrote them. Cheap: reads no result."""
        ...

    async def delete_result(self, job_id: str) -> bool:
        """Delete a result and its submission; false when there is none."""
        ...
