"""Notices: the e-mails and webhooks about ended jobs."""

from __future__ import annotations

import builtins

from .connection import Connection, Record, given, scope


class NoticeCalls:
    """``/notices``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(
        self,
        *,
        state: str | None = None,
        job_id: str | None = None,
        everyone: bool = False,
        limit: int = 100,
    ) -> builtins.list[Record]:
        """The notices, newest first; `state` is ``pending``, ``sent`` or ``failed``."""
        query = given(state=state, jobId=job_id, scope=scope(everyone), limit=str(limit))
        answer = await self._connection.call("GET", "/notices", params=query)
        return [dict(notice) for notice in answer["notices"]]

    async def retry(self, notice_id: str) -> None:
        """Send a failed notice again."""
        await self._connection.call("POST", f"/notices/{notice_id}/retry")

    async def delete(self, notice_id: str) -> None:
        await self._connection.call("DELETE", f"/notices/{notice_id}")
