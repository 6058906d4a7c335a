"""Schedules: jobs that are submitted by cron lines."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from ..model.words import MisfirePolicy, OverlapPolicy
from .connection import Connection, Record, given, scope


class ScheduleCalls:
    """``/schedules``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def create(
        self,
        name: str,
        cron: str,
        job: Mapping[str, Any],
        *,
        timezone: str | None = None,
        enabled: bool | None = None,
        overlap_policy: OverlapPolicy | str | None = None,
        misfire_policy: MisfirePolicy | str | None = None,
        misfire_grace_seconds: float | None = None,
        jitter_seconds: float | None = None,
        start_at: str | None = None,
        end_at: str | None = None,
    ) -> Record:
        """Create a schedule that submits `job` (the body of ``/jobs/submit``, in camelCase)."""
        body = given(
            name=name,
            cron=cron,
            job=dict(job),
            timezone=timezone,
            enabled=enabled,
            overlapPolicy=overlap_policy,
            misfirePolicy=misfire_policy,
            misfireGraceSeconds=misfire_grace_seconds,
            jitterSeconds=jitter_seconds,
            startAt=start_at,
            endAt=end_at,
        )
        return dict((await self._connection.call("POST", "/schedules", json=body))["schedule"])

    async def list(self, *, everyone: bool = False) -> builtins.list[Record]:
        """The caller's schedules, or those of all users, oldest first."""
        answer = await self._connection.call("GET", "/schedules", params={"scope": scope(everyone)})
        return [dict(schedule) for schedule in answer["schedules"]]

    async def get(self, schedule_id: str) -> Record:
        return dict((await self._connection.call("GET", f"/schedules/{schedule_id}"))["schedule"])

    async def update(self, schedule_id: str, change: Mapping[str, Any]) -> Record:
        """Change the fields in `change` (camelCase) and no others, also inside ``job``."""
        answer = await self._connection.call("PATCH", f"/schedules/{schedule_id}", json=change)
        return dict(answer["schedule"])

    async def delete(self, schedule_id: str) -> None:
        await self._connection.call("DELETE", f"/schedules/{schedule_id}")

    async def next_runs(self, schedule_id: str, count: int = 10) -> builtins.list[Record]:
        """The next runs: in UTC, in the schedule's time zone, and with jitter."""
        query = {"count": str(count)}
        answer = await self._connection.call("GET", f"/schedules/{schedule_id}/next", params=query)
        return [dict(run) for run in answer["runs"]]

    async def preview(
        self,
        cron: str,
        *,
        timezone: str | None = None,
        start_at: str | None = None,
        end_at: str | None = None,
        count: int = 5,
    ) -> builtins.list[Record]:
        """The next runs of a cron line. Raises `ClientError`, which says what is wrong with it."""
        asked = given(cron=cron, timezone=timezone, startAt=start_at, endAt=end_at, count=str(count))
        answer = await self._connection.call("GET", "/schedules/preview", params=asked)
        return [dict(run) for run in answer["runs"]]
