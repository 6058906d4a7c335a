"""The hosts and workers on a database, and draining one. ``presence`` sends the heartbeats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..base import RunningThere, WorkerProcess
from .database import Database
from .records import is_id
from .telling import CHANNEL

_SHOWN_SECONDS = 600.0
_ALL = """
SELECT p.process_id::text, p.kind, p.name, p.machine, p.pid, p.version, p.labels, p.places, p.is_draining,
    p.started_at, p.heard_at, p.heard_at > clock_timestamp() - %(stall)s * interval '1 s',
    coalesce(r.jobs, '[]')
FROM aiohttp_jobs.processes p
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_array(j.job_id, j.user_id, j.job_name) ORDER BY j.started_at) AS jobs
    FROM aiohttp_jobs.jobs j WHERE j.state = 'running' AND j.process_id = p.process_id
) AS r ON true
WHERE p.heard_at > clock_timestamp() - greatest(%(stall)s, %(shown)s) * interval '1 s'
ORDER BY p.kind, p.name, p.started_at
"""
_DRAIN = """
UPDATE aiohttp_jobs.processes SET is_draining = true WHERE process_id = %s
    AND heard_at > clock_timestamp() - %s * interval '1 s' RETURNING kind, pg_notify(%s, %s)
"""
_KIND = """
SELECT kind FROM aiohttp_jobs.processes
WHERE process_id = %s AND heard_at > clock_timestamp() - %s * interval '1 s'
"""


class PostgresWorkforce:
    """The `Workforce` of an installation, as the process `me` asks for it."""

    def __init__(self, database: Database, me: str, stall_seconds: float) -> None:
        self._database = database
        self._me = me
        self._stall = stall_seconds

    async def all(self) -> list[WorkerProcess]:
        values = {"stall": self._stall, "shown": _SHOWN_SECONDS}
        rows = await self._database.in_thread(self._database.rows, _ALL, values)
        return [_process(*row) for row in rows]

    async def kind_of(self, worker_id: str) -> str | None:
        values = (worker_id, self._stall)
        row = await self._database.in_thread(self._database.row, _KIND, values) if is_id(worker_id) else None
        return None if row is None else str(row[0])

    async def drain(self, worker_id: str) -> None:
        news = f"{self._me} drain {worker_id}"
        await self._database.in_thread(self._database.rows, _DRAIN, (worker_id, self._stall, CHANNEL, news))


def _process(
    worker_id: str, kind: str, name: str, machine: str, pid: int | None, version: str, labels: list[str],
    places: dict[str, int], is_draining: bool, started: datetime, heard: datetime, is_alive: bool,
    jobs: list[list[Any]],
) -> WorkerProcess:  # fmt: skip
    return WorkerProcess(
        worker_id=worker_id,
        kind=kind,
        name=name,
        machine=machine,
        pid=pid,
        version=version,
        labels=tuple(labels),
        places=places,
        is_draining=is_draining,
        started_at=started.astimezone(UTC),
        heard_at=heard.astimezone(UTC),
        is_alive=is_alive,
        running=tuple(RunningThere(*job) for job in jobs),
    )
