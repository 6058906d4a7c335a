"""The services over an engine in memory: no socket, no process, no file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.access.fair_turns import FairTurns
from aiohttp_jobs.access.limits import LimitPolicy, StorageLimits
from aiohttp_jobs.access.policy import AccessPolicy
from aiohttp_jobs.engine.base import (
    FoundJob,
    JobChange,
    JobOutput,
    JobQuery,
    JobState,
    Limits,
    MostWaiting,
    QueueSummary,
    StopReason,
    WorkerState,
)
from aiohttp_jobs.engine.running.states import submitted_state
from aiohttp_jobs.model.identity import Identity
from aiohttp_jobs.model.job import (
    ExecutionMode,
    InterpreterName,
    JobPhase,
    JobStatus,
    Submission,
    new_job_id,
    utc_now,
)
from aiohttp_jobs.model.output import CHUNK, OutputPart, Span
from aiohttp_jobs.services.jobs import JobService
from aiohttp_jobs.services.queue import QueueService
from aiohttp_jobs.services.results import ResultService
from aiohttp_jobs.services.streams.job_list import JobFeed
from aiohttp_jobs.services.streams.lookup import JobLookup
from aiohttp_jobs.system.storage_state import StorageState


@dataclass
class JobsInMemory:
    """A `JobQueue`, a `JobHistory` and an `OutputStore`, and of a `ResultRepository` what deletes."""

    states: dict[str, JobState] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    kept_workers: list[WorkerState] = field(default_factory=list)
    is_closing: bool = False
    is_paused: bool = False

    def running(self, user_id: str) -> str:
        """A job of the user's that runs; its id."""
        return self._known(user_id, JobPhase.RUNNING)

    def queued(self, user_id: str) -> str:
        return self._known(user_id, JobPhase.QUEUED)

    def ended(self, user_id: str) -> str:
        """A job of the user's that has ended; its id."""
        job_id = new_job_id()
        self.records[job_id] = {"JobID": job_id, "UserID": user_id, "Status": "Succeeded", "Output": "done"}
        return job_id

    def _known(self, user_id: str, phase: JobPhase) -> str:
        job = _submission(user_id)
        self.states[job.job_id] = submitted_state(job, phase)
        return job.job_id

    # --- JobQueue

    async def submit(self, submission: Submission, *, is_new: bool, most_waiting: MostWaiting) -> None:
        del is_new, most_waiting
        self.states[submission.job_id] = submitted_state(submission, JobPhase.QUEUED)

    async def get(self, job_id: str) -> JobState | None:
        return self.states.get(job_id)

    async def look_up(self, job_id: str) -> FoundJob | None:
        if job_id in self.states:
            return FoundJob(self.states[job_id])
        return FoundJob(record=self.records[job_id]) if job_id in self.records else None

    async def end_of(self, job_id: str, seconds: float) -> dict[str, Any] | None:
        del seconds
        return self.records.get(job_id)

    async def find(self, query: JobQuery) -> list[JobState]:
        states = self.states.values()
        return [
            state
            for state in states
            if state.phase in query.phases and query.user_id in (None, state.job.user_id)
        ]

    async def summary(self) -> QueueSummary:
        return QueueSummary(self.is_paused, len(self.states), 0, 0, Limits({}))

    async def overview(self, query: JobQuery) -> tuple[list[JobState], QueueSummary]:
        return await self.find(query), await self.summary()

    async def cancel(self, job_id: str, reason: StopReason) -> None:
        del reason
        self.cancelled.append(job_id)

    async def set_paused(self, paused: bool) -> None:
        self.is_paused = paused

    def look_soon(self) -> None:
        return None

    async def workers(self) -> list[WorkerState]:
        return self.kept_workers

    @asynccontextmanager
    async def watch(self, listener: Callable[[JobChange], None]) -> AsyncIterator[None]:
        del listener
        yield

    # --- JobHistory

    async def get_result(self, job_id: str) -> dict[str, Any] | None:
        return self.records.get(job_id)

    async def was_used(self, job_id: str) -> bool:
        return job_id in self.records

    async def submission_of(self, record: dict[str, Any]) -> Submission | None:
        return _submission(record["UserID"], record["JobID"])

    async def current_submission(self, job_id: str) -> Submission | None:
        return self.states[job_id].submission if job_id in self.states else None

    async def attempts(self, submission: Submission) -> list[dict[str, Any]]:
        del submission
        return []

    async def attempts_of(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        del record
        return []

    async def list_results(
        self, user_id: str | None, limit: int, id_prefix: str = ""
    ) -> list[dict[str, Any]]:
        del id_prefix
        return [each for each in self.records.values() if user_id in (None, each["UserID"])][:limit]

    async def previous_status(self, user_id: str, job_name: str, before: datetime) -> JobStatus | None:
        del user_id, job_name, before
        return None

    # --- OutputStore

    async def live(self, state: JobState) -> JobOutput:
        del state
        return TextOutput(b"so far", complete=False)

    def kept(self, record: dict[str, Any]) -> JobOutput:
        return TextOutput(record["Output"].encode(), complete=True)

    def next_change(self, job_id: str) -> asyncio.Future[None]:
        del job_id
        return asyncio.get_running_loop().create_future()

    # --- ResultRepository

    async def delete(self, job_ids: Sequence[str]) -> int:
        return len([self.records.pop(job_id) for job_id in job_ids if job_id in self.records])


class TextOutput:
    """A `JobOutput`."""

    attempt = 1
    left_out_because = ""

    def __init__(self, text: bytes, *, complete: bool) -> None:
        self._text = text
        self.size = len(text)
        self.complete = complete

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        del whole
        return OutputPart(offset, self._text[offset : offset + most])

    async def spans(self) -> list[Span]:
        return [Span(0, self.size)]


class Services:
    """The services of jobs, results and the queue over `engine`, with a host's default settings."""

    def __init__(self, folder: Path) -> None:
        self.engine = JobsInMemory()
        config = JobsConfig(data_dir=folder, min_free_bytes=0)
        policy, turns = AccessPolicy(config), FairTurns(3, 3, 100, setting="s", what="searches")
        lookup = JobLookup(self.engine, self.engine)

        async def nothing_kept(_user_id: str) -> int:
            return 0

        self.room = StorageLimits(config, nothing_kept, StorageState(folder))
        self.jobs = JobService(
            config,
            policy,
            LimitPolicy(config, list(InterpreterName)),
            self.engine,
            self.engine,
            lookup,
            self.engine,
            JobFeed(self.engine),
            self.room,
            turns,
            cast("Any", None),
        )
        self.results = ResultService(policy, lookup, self.engine, cast("Any", self.engine), turns)
        self.queue = QueueService(policy, self.engine, cast("Any", None))


def identity(user_id: str, *roles: str) -> Identity:
    return Identity(user_id, "s1", frozenset(roles))


def _submission(user_id: str, job_id: str | None = None) -> Submission:
    return Submission(
        job_id=job_id or new_job_id(),
        user_id=user_id,
        job_name="test",
        command="true",
        execution_mode=ExecutionMode.BACKGROUND_JOB,
        submitted_at=utc_now(),
    )
