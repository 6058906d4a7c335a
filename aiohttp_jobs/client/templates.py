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
        """A new template; `template` is the request, in camelCase."""
        return dict((await self._connection.call("POST", "/templates", json=template))["template"])

    async def list(self) -> builtins.list[Record]:
        """Those that one may run or edit."""
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
        """Submit the template's job with these values of its parameters; the job's id."""
        body = given(
            values=dict(values or {}),
            jobName=name,
            priority=priority,
            runAt=run_at,
            delaySeconds=delay_seconds,
        )
        answer = await self._connection.call("POST", f"/templates/{template_id}/run", json=body)
        return str(answer["jobId"])
