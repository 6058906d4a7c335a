"""A job that runs: how it is stopped, and why it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ..models import JobStatus


@dataclass(frozen=True, slots=True)
class StopReason:
    """`status` is what the result will say, `message` the sentence added to the output."""

    status: JobStatus
    message: str


class RunningJob:
    """Can be stopped at any moment from being claimed to having ended; the first reason counts."""

    def __init__(self, job_id: str, user_id: str) -> None:
        self.job_id = job_id
        self.user_id = user_id
        self.reason: StopReason | None = None
        self._task: asyncio.Task[Any] | None = None

    def attach(self, task: asyncio.Task[Any]) -> None:
        """`task` runs the job: cancelling it stops the job."""
        self._task = task
        if self.reason is not None:
            task.cancel()

    def stop(self, reason: StopReason) -> None:
        if self.reason is None:
            self.reason = reason
            if self._task is not None:
                self._task.cancel()
