"""QueueService: what waits and what runs on this server, for those who look after it.

One job, waiting or not, is left to `JobService`; which is next, to dispatch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import psutil

from ..access.policy import AccessPolicy
from ..engine.embedded.dispatcher import Dispatcher
from ..errors import ConflictError
from ..model.identity import Identity
from ..model.job import format_utc
from ..streams.serializers import queued_view
from ..worker.base import WarmWorker

MOST_QUEUED_SHOWN = 1000


class QueueService:
    """Every method takes the `Identity` of whoever asks."""

    def __init__(
        self,
        policy: AccessPolicy,
        dispatcher: Dispatcher,
        runspaces: Callable[[], list[WarmWorker]],
        restart_session: Callable[[], Awaitable[bool]],
    ) -> None:
        self._policy = policy
        self._dispatcher = dispatcher
        self._runspaces = runspaces
        self._restart_session = restart_session

    def view(self, identity: Identity) -> dict[str, Any]:
        """The queue in order; of other users' jobs only what shows one's own place."""
        self._policy.require(identity.roles, "see_queue")
        everyone = self._policy.allows(identity.roles, "see_all_jobs")
        due, later = self._dispatcher.queue.in_order(), self._dispatcher.queue.not_due()
        mine = (
            queued_view(job, place)
            for place, job in enumerate(due, 1)
            if everyone or job.user_id == identity.user_id
        )
        limits = self._dispatcher.limits
        return {
            "paused": self._dispatcher.paused,
            "queued": len(due),
            "pending": len(later),
            "running": len(list(self._dispatcher.running())),
            "limits": {
                **{mode.value: limit for mode, limit in limits.modes.items()},
                "perUser": limits.per_user,
                "overall": limits.overall,
            },
            "jobs": list(islice(mine, MOST_QUEUED_SHOWN)),
        }

    async def set_paused(self, identity: Identity, paused: bool) -> None:
        """Start no more jobs, or go on. Running jobs are not touched; submitting stays possible."""
        self._policy.require(identity.roles, "manage_queue")
        await self._dispatcher.set_paused(paused)

    async def runspaces(self, identity: Identity) -> list[dict[str, Any]]:
        """The warm workers. Whose job one runs is shown to its owner and to who may see all jobs."""
        self._policy.require(identity.roles, "see_runspaces")
        everyone = self._policy.allows(identity.roles, "see_all_jobs")
        workers = self._runspaces()
        memory = await asyncio.to_thread(_memory, [worker.process.pid for worker in workers])
        return [
            _worker_view(worker, used, known=everyone or worker.owner == identity.user_id)
            for worker, used in zip(workers, memory, strict=True)
        ]

    async def restart_main_loop(self, identity: Identity) -> None:
        """Have the next MainLoop job in PowerShell begin a new session.

        Raises `ConflictError` while a job runs in the present one.
        """
        self._policy.require(identity.roles, "restart_mainloop")
        if not await self._restart_session():
            raise ConflictError("A job runs in the MainLoop session. Cancel it, or wait until it has ended.")


def _memory(pids: list[int]) -> list[int | None]:
    found: list[int | None] = []
    for pid in pids:
        try:
            found.append(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            found.append(None)
    return found


def _worker_view(worker: WarmWorker, memory: int | None, *, known: bool) -> dict[str, Any]:
    return {
        "Worker": worker.process.pid,
        "Busy": worker.job_id is not None,
        "UserID": worker.owner if known else None,
        "JobID": worker.job_id if known else None,
        "JobsServed": worker.served,
        "MemoryBytes": memory,
        "StartedAt": format_utc(worker.started_at),
    }
