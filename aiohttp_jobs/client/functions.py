"""The host's own functions, as jobs."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..model.words import ExecutionMode
from .connection import Connection, Record, given

if TYPE_CHECKING:
    from ..model.job import RetryPolicy


class FunctionCalls:
    """``/functions``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> builtins.list[Record]:
        """The functions that the caller may run."""
        return [dict(each) for each in (await self._connection.call("GET", "/functions"))["functions"]]

    async def get(self, name: str) -> Record:
        """One function, by its current or a former name."""
        return dict((await self._connection.call("GET", f"/functions/{name}"))["function"])

    async def run(
        self,
        function: str,
        values: Mapping[str, Any] | None = None,
        *,
        mode: ExecutionMode | str | None = None,
        name: str | None = None,
        description: str | None = None,
        priority: int | None = None,
        timeout_seconds: float | None = None,
        labels: Sequence[str] = (),
        run_at: str | None = None,
        delay_seconds: float | None = None,
        retry: RetryPolicy | None = None,
        notify: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """Submit a job of `function` with these JSON values; return the job's id."""
        body = given(
            values=dict(values or {}),
            executionMode=None if mode is None else str(mode),
            jobName=name,
            description=description,
            priority=priority,
            timeoutSeconds=timeout_seconds,
            labels=list(labels) or None,
            runAt=run_at,
            delaySeconds=delay_seconds,
            retry=retry.model_dump(mode="json", by_alias=True) if retry else None,
            notify=[dict(notice) for notice in notify] if notify else None,
        )
        answer = await self._connection.call("POST", f"/functions/{function}/run", json=body)
        return str(answer["jobId"])
