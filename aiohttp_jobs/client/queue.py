"""The queue and the warm workers."""

from __future__ import annotations

from .connection import Connection, Record


class QueueCalls(Connection):
    """``/queue``, ``/runspaces`` and ``/mainloop``."""

    async def queue(self) -> Record:
        """The waiting jobs in order, and the limits."""
        return dict((await self.call("GET", "/queue"))["queue"])

    async def pause(self) -> None:
        """Pause the queue: no more jobs are started. For administrators."""
        await self.call("POST", "/queue/pause")

    async def resume(self) -> None:
        await self.call("POST", "/queue/resume")

    async def pick_up(self) -> None:
        """Look for submission files now, not at the next poll. For the elevated roles."""
        await self.call("POST", "/queue/pick-up")

    async def runspaces(self) -> list[Record]:
        """The warm workers."""
        return list((await self.call("GET", "/runspaces"))["runspaces"])

    async def restart_main_loop(self) -> None:
        """Let the next MainLoop job in PowerShell start a new session. For the role ``debug``."""
        await self.call("POST", "/mainloop/restart")
