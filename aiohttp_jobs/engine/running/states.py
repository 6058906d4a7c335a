"""Builds the JobState of a job that has not ended, and the WorkerState of a warm worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ...model.job import JobPhase, Submission
from ...worker.base import WarmWorker
from ..base import JobState, JobSummary, WorkerState


def submitted_state(submission: Submission, phase: JobPhase, **known: Any) -> JobState:
    """The state of a job of which only the submission is available, with further fields in `known`."""
    return JobState(JobSummary.of(submission), phase, submission=submission, **known)


async def worker_states(workers: Sequence[WarmWorker]) -> list[WorkerState]:
    """The current state of each of `workers`."""
    memory = await asyncio.to_thread(_memory, [worker.process.pid for worker in workers])
    return [
        WorkerState(worker.process.pid, worker.owner, worker.job_id, worker.served, used, worker.started_at)
        for worker, used in zip(workers, memory, strict=True)
    ]


def _memory(pids: list[int]) -> list[int | None]:
    import psutil  # noqa: PLC0415 - a megabyte that only this and what ends jobs needs

    found: list[int | None] = []
    for pid in pids:
        try:
            found.append(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            found.append(None)
    return found
