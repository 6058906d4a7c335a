"""Jobs for the contract suites, submitted to a queue as it is."""

from __future__ import annotations

from typing import Any

from aiohttp_jobs.engine.base import JobQueue, MostWaiting
from aiohttp_jobs.model.job import ExecutionMode, InterpreterName, Submission, new_job_id, utc_now

MOST = MostWaiting(1000, 1_000_000)


def submission(command: str = "true", **fields: Any) -> Submission:
    return Submission(
        **{
            "job_id": new_job_id(),
            "user_id": "alice",
            "session_id": "s1",
            "job_name": "test",
            "command": command,
            "execution_mode": ExecutionMode.BACKGROUND_JOB,
            "interpreter": InterpreterName.SHELL,
            "submitted_at": utc_now(),
            **fields,
        }
    )


async def submit(queue: JobQueue, command: str = "true", **fields: Any) -> str:
    job = submission(command, **fields)
    await queue.submit(job, is_new=True, most_waiting=MOST)
    return job.job_id
