"""A peer as the benchmark sees it: a process in the peer's own environment that submits and waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..processes import AnsweringProcess


@dataclass(slots=True)
class Peer:
    """A peer that is up. It is frozen but inside `awake`, so that its polling disturbs nobody."""

    name: str
    version: str
    durability: str
    process: AnsweringProcess

    @asynccontextmanager
    async def awake(self) -> AsyncIterator[None]:
        self.process.thaw()
        try:
            # Whatever it missed while it was frozen is caught up with before the clock starts.
            await self.one_by_one("python", 3)
            yield
        finally:
            self.process.freeze()

    async def many(self, kind: str, count: int) -> float:
        """Seconds from the first enqueued job of `kind` to the last readable result."""
        return float((await self.process.ask(do="many", kind=kind, count=count))["seconds"])

    async def one_by_one(self, kind: str, count: int) -> list[float]:
        """Seconds of each job, one after the other, until its result is readable."""
        return list((await self.process.ask(do="one_by_one", kind=kind, count=count))["seconds"])

    async def run_at_a_time(self, count: int) -> None:
        """Have its one worker run `count` jobs at a time."""
        await self.process.ask(do="at_a_time", count=count)

    async def workers(self, count: int) -> list[int]:
        """Have it run `count` worker processes, one being usual; their ids."""
        return list((await self.process.ask(do="workers", count=count))["pids"])
