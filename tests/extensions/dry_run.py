"""An execution mode that prints a command in place of running it."""

from __future__ import annotations

from aiohttp_jobs.worker.base import Execution, Outcome


class DryRun:
    """An `Executor`."""

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def run(self, execution: Execution) -> Outcome:
        execution.log.append(f"would run: {execution.command}\n".encode())
        return Outcome(0)
