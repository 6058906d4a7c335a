"""The hosts and workers that share the work."""

from __future__ import annotations

import builtins

from .connection import Connection, Record


class WorkerCalls:
    """``/workers``. For admins."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> builtins.list[Record]:
        """The live hosts and workers, and those that died a short time ago."""
        return list((await self._connection.call("GET", "/workers"))["workers"])

    async def drain(self, worker_id: str) -> None:
        """Let a worker take no more jobs, finish its running ones, and exit."""
        await self._connection.call("POST", f"/workers/{worker_id}/drain")
