"""What `FileSystemStore` finds below its folder: jobs that wait, were lost or run elsewhere, and news."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ...model.job import Submission
from ...model.progress import Progress
from ..base import ClaimedJob
from .queue import PendingJob


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
