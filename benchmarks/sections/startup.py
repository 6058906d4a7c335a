"""Start-up with a full store: many results kept, many jobs waiting, and no index yet."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from ..bench import Bench
from ..ours import API, COMMAND, HostProcess
from ..tables import Kind, Table

FLOOR, EMPTY = "bare aiohttp host", "plugin, empty store"
_TEMPORARY = ("results.index*",)


async def measure(bench: Bench) -> list[Table]:
    stored, waiting = bench.size(50_000, 1000), bench.size(10_000, 100)
    ours = f"plugin, {stored:,} results, {waiting:,} waiting"
    table = Table(
        "startup",
        "Start-up: from starting the process to the first answer",
        "Seconds. A million files take longer to make and to remove than all of this benchmark may: such a "
        "store, with its index, is started in the section on results. "
        f"Here the store holds {stored:,} result files (written by this benchmark, copies of a real one "
        f"with ids of their own, not synced) and {waiting:,} submissions that were accepted through the API. "
        "Each start finds no index: its making goes on in the background.",
        "s",
        more_is_better=False,
    )
    folder = bench.folder("startup")
    await _fill(folder, stored, waiting)
    for _ in range(bench.rounds):
        table.note(FLOOR, Kind.FLOOR, await _start(bench.folder("bare"), plugin=False))
        table.note(EMPTY, Kind.OTHER, await _start(bench.folder("empty")))
        for pattern in _TEMPORARY:
            for index in folder.rglob(pattern):
                index.unlink(missing_ok=True)
        table.note(ours, Kind.OURS, await _start(folder))
    median = table.contender(ours, Kind.OURS).median
    table.ask("ready to serve in under 2 s", f"{median:.2f} s", median < 2)
    return [table]


async def _fill(folder: Path, stored: int, waiting: int) -> None:
    host = await HostProcess.start(folder, max_pending_per_user=1_000_000)
    await host.embedded("run", job=COMMAND, count=1)
    await host.embedded("fill", job=COMMAND, count=waiting)
    await host.stop()
    await asyncio.to_thread(_copy_results, folder, stored)


def _copy_results(folder: Path, count: int) -> None:
    model = next(path for path in folder.rglob("JobResults/*.json"))
    record = json.loads(model.read_bytes())
    before, after = json.dumps(record).encode().split(record["JobID"].encode(), 1)
    descriptor = os.open(model.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(count):
            job_id = str(uuid.UUID(bytes=os.urandom(16), version=4))
            file = os.open(f"{job_id}.json", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=descriptor)
            os.write(file, before + job_id.encode() + after)
            os.close(file)
    finally:
        os.close(descriptor)


async def _start(folder: Path, *, plugin: bool = True) -> float:
    started = time.perf_counter()
    settings: dict[str, Any] = {"max_pending_per_user": 1_000_000} if plugin else {}
    host = await HostProcess.start(folder, plugin=plugin, **settings)
    await host.connection.ask("GET", API + "/queue" if plugin else "/ping")
    seconds = time.perf_counter() - started
    # As a crash would: nothing of the store is changed, and nobody waits for an index to be made.
    host.process.kill()
    await host.stop()
    return seconds
