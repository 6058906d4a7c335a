"""What all sections share: how long to measure, hosts to measure, and the peers that are up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from .ours import HostProcess
from .peers.process import Peer
from .place import quiet_folder
from .tables import Kind, Table

PARALLEL = 8


class Bench:
    """One run. `quick` has fewer rounds of smaller numbers."""

    def __init__(self, work: Path, *, quick: bool) -> None:
        self.work = work
        self.quick = quick
        self.rounds = 2 if quick else 5
        self.peers: list[Peer] = []
        self.missing: list[str] = []
        """What did not run that should have, and why."""
        self.failures: list[str] = []
        self.versions: dict[str, str] = {}

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def folder(self, name: str) -> Path:
        """A new folder on the disk that is measured."""
        return quiet_folder(self.work, name)

    @asynccontextmanager
    async def host(
        self,
        name: str,
        *,
        plugin: bool = True,
        uvloop: bool = False,
        functions: bool = False,
        folder: Path | None = None,
        **settings: Any,
    ) -> AsyncIterator[HostProcess]:
        """A host with the plugin (or without), on asyncio's own loop (or uvloop), during the block.

        With `functions` it has those of `benchmarks.functions`.
        """
        settings = {"max_parallel_background": PARALLEL, "max_pending_per_user": 1_000_000, **settings}
        host = await HostProcess.start(
            folder or self.folder(name), plugin=plugin, uvloop=uvloop, functions=functions, **settings
        )
        try:
            yield host
        finally:
            await host.stop()

    async def each_peer(self, table: Table, measure: Callable[[Peer], Awaitable[float]]) -> None:
        """One round of every peer, one after the other, each while the others are frozen.

        One that fails takes part no more, and is reported.
        """
        for peer in list(self.peers):
            try:
                async with peer.awake():
                    table.note(peer.name, Kind.PEER, await measure(peer))
            except (RuntimeError, TimeoutError, OSError) as error:
                self.failures.append(f"{peer.name} failed in “{table.title}”: {error!r}")
                self.peers.remove(peer)
                table.contenders = [row for row in table.contenders if row.name != peer.name]


async def rate(count: int, seconds: Awaitable[float]) -> float:
    """How many a second."""
    return count / await seconds
