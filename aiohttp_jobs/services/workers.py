"""WorkerService: lists and drains the hosts and workers that share the work, for administrators."""

from __future__ import annotations

from typing import Any

from ..access.policy import AccessPolicy
from ..engine.base import WorkerProcess, Workforce
from ..errors import ConflictError, NotFoundError
from ..model.identity import Identity
from ..model.job import format_utc

_RIGHT = "manage_queue"


class WorkerService:
    """What a user can do with workers.

    Every method takes the caller's `Identity`. Without a `workforce`, hosts run all jobs.
    """

    def __init__(self, policy: AccessPolicy, workforce: Workforce | None) -> None:
        self._policy = policy
        self._workforce = workforce

    async def view(self, identity: Identity) -> list[dict[str, Any]]:
        """The live hosts and workers, and those that died a short time ago. Raises `ForbiddenError`."""
        self._policy.require(identity.roles, _RIGHT)
        found = [] if self._workforce is None else await self._workforce.all()
        everyone = self._policy.allows(identity.roles, "see_all_jobs")
        return [_view(each, identity.user_id, everyone=everyone) for each in found]

    async def drain(self, identity: Identity, worker_id: str) -> None:
        """Let a worker take no more jobs, finish its running ones, and exit. Can be repeated.

        Raises `ForbiddenError`, `NotFoundError`, and `ConflictError` for a host.
        """
        self._policy.require(identity.roles, _RIGHT)
        kind = None if self._workforce is None else await self._workforce.kind_of(worker_id)
        if self._workforce is None or kind is None:
            raise NotFoundError(f"There is no worker {worker_id} that runs.")
        if kind != "worker":
            raise ConflictError("This is a host, which also answers requests. Stop it where it was started.")
        await self._workforce.drain(worker_id)


def _view(worker: WorkerProcess, user_id: str, *, everyone: bool) -> dict[str, Any]:
    return {
        "WorkerID": worker.worker_id,
        "Kind": worker.kind,
        "Name": worker.name,
        "Machine": worker.machine,
        "Pid": worker.pid,
        "Version": worker.version,
        "Labels": list(worker.labels),
        "Places": dict(worker.places),
        "Running": len(worker.running),
        "Jobs": [
            {"JobID": job.job_id, "JobName": job.job_name, "UserID": job.user_id}
            for job in worker.running
            if everyone or job.user_id == user_id
        ],
        "Draining": worker.is_draining,
        "Alive": worker.is_alive,
        "StartedAt": format_utc(worker.started_at),
        "LastHeardAt": format_utc(worker.heard_at),
    }
