"""QueueService: shows, pauses and resumes the queue of all processes, and lists the warm workers.

Single jobs are in `JobService`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..access.policy import AccessPolicy
from ..engine.base import JobQuery, JobQueue, WorkerState
from ..errors import ConflictError
from ..model.identity import Identity
from ..model.job import JobPhase, format_utc
from .streams.serializers import waiting_view

MOST_QUEUED_SHOWN = 1000


class QueueService:
    """What a user can do with the queue. Every method takes the caller's `Identity`."""

    def __init__(
        self,
        policy: AccessPolicy,
        queue: JobQueue,
        restart_session: Callable[[], Awaitable[bool]],
    ) -> None:
        self._policy = policy
        self._queue = queue
        self._restart_session = restart_session

    async def view(self, identity: Identity) -> dict[str, Any]:
        """The waiting jobs in order. Of other users' jobs, only their number is shown."""
        self._policy.require(identity.roles, "see_queue")
        everyone = self._policy.allows(identity.roles, "see_all_jobs")
        user_id = None if everyone else identity.user_id
        query = JobQuery(frozenset({JobPhase.QUEUED}), MOST_QUEUED_SHOWN, user_id)
        waiting, summary = await self._queue.overview(query)
        return {
            "paused": summary.is_paused,
            "queued": summary.queued,
            "pending": summary.pending,
            "running": summary.running,
            "limits": {
                **{str(slot): limit for slot, limit in summary.limits.modes.items()},
                "perUser": summary.limits.per_user,
                "overall": summary.limits.overall,
            },
            "jobs": [waiting_view(state) for state in waiting],
        }

    async def set_paused(self, identity: Identity, paused: bool) -> None:
        """Pause or resume starting jobs. Running jobs go on, and jobs can still be submitted."""
        self._policy.require(identity.roles, "manage_queue")
        await self._queue.set_paused(paused)

    def pick_up(self, identity: Identity) -> None:
        """Look for submissions that other programs have put into the folder now, not at the next poll."""
        self._policy.require(identity.roles, "pick_up_submissions")
        self._queue.look_soon()

    async def runspaces(self, identity: Identity) -> list[dict[str, Any]]:
        """The warm workers.

        The job that one runs is shown to its owner and to callers who may see all jobs.
        """
        self._policy.require(identity.roles, "see_runspaces")
        everyone = self._policy.allows(identity.roles, "see_all_jobs")
        return [
            _worker_view(worker, known=everyone or worker.user_id == identity.user_id)
            for worker in await self._queue.workers()
        ]

    async def restart_main_loop(self, identity: Identity) -> None:
        """Let the next MainLoop job in PowerShell start a new session.

        Raises `ConflictError` while a job runs in the current one.
        """
        self._policy.require(identity.roles, "restart_mainloop")
        if not await self._restart_session():
            raise ConflictError("A job runs in the MainLoop session. Cancel it, or wait until it has ended.")


def _worker_view(worker: WorkerState, *, known: bool) -> dict[str, Any]:
    return {
        "Worker": worker.pid,
        "Busy": worker.job_id is not None,
        "UserID": worker.user_id if known else None,
        "JobID": worker.job_id if known else None,
        "JobsServed": worker.jobs_served,
        "MemoryBytes": worker.memory,
        "StartedAt": format_utc(worker.started_at),
    }
