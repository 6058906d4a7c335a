"""Templates: saved commands with typed parameters."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from .connection import Connection, Record, given


class TemplateCalls:
    """``/templates``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def create(self, template: Mapping[str, Any]) -> Record:
        """Create a template; `template` is the request in camelCase."""
        return dict((await self._connection.call("POST", "/templates", json=template))["template"])

    async def list(self) -> builtins.list[Record]:
        """The templates that the caller may run or edit."""
        return [dict(each) for each in (await self._connection.call("GET", "/templates"))["templates"]]

    async def get(self, template_id: str) -> Record:
        return dict((await self._connection.call("GET", f"/templates/{template_id}"))["template"])

    async def replace(self, template_id: str, template: Mapping[str, Any]) -> Record:
        answer = await self._connection.call("PUT", f"/templates/{template_id}", json=template)
        return dict(answer["template"])

    async def delete(self, template_id: str) -> None:
        await self._connection.call("DELETE", f"/templates/{template_id}")

    async def run(
        self,
        template_id: str,
        values: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        priority: int | None = None,
        run_at: str | None = None,
        delay_seconds: float | None = None,
    ) -> str:
        """Submit a job of the template with these parameter values; return the job's id."""
        body = given(
            values=dict(values or {}),
            jobName=name,
            priority=priority,
            runAt=run_at,
            delaySeconds=delay_seconds,
        )
        answer = await self._connection.call("POST", f"/templates/{template_id}/run", json=body)
        return str(answer["jobId"])

    async def add_trigger(self, template_id: str, trigger: Mapping[str, Any]) -> tuple[Record, str]:
        """Create a trigger; return its record and its secret, which is not shown again.

        `trigger` is the request in camelCase.
        """
        answer = await self._connection.call("POST", f"/templates/{template_id}/triggers", json=trigger)
        return dict(answer["trigger"]), str(answer["secret"])

    async def triggers(self, template_id: str) -> builtins.list[Record]:
        """The caller's triggers of a template; all of them for those who may edit it."""
        answer = await self._connection.call("GET", f"/templates/{template_id}/triggers")
        return [dict(each) for each in answer["triggers"]]

    async def set_trigger_enabled(self, trigger_id: str, enabled: bool) -> Record:
        """Enable or disable a trigger; return its record."""
        body = {"enabled": enabled}
        return dict((await self._connection.call("PATCH", f"/triggers/{trigger_id}", json=body))["trigger"])

    async def rotate_trigger(self, trigger_id: str) -> str:
        """Replace a trigger's secret; return the new one."""
        return str((await self._connection.call("POST", f"/triggers/{trigger_id}/rotate"))["secret"])

    async def delete_trigger(self, trigger_id: str) -> None:
        await self._connection.call("DELETE", f"/triggers/{trigger_id}")
