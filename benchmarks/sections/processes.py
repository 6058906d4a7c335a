"""What starting a job's process costs, by each of the two ways, on each event loop."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ..bench import Bench
from ..processes import module
from ..tables import Kind, Table

_PORTABLE, _OWN = "create_subprocess_exec", "Popen"
_FIGURES = {
    "host": "processor time of the host, 8 at a time",
    "wall": "time on the clock, 8 at a time",
}


async def measure(bench: Bench) -> list[Table]:
    tables = []
    for uvloop in (False, True):
        loop = "uvloop" if uvloop else "asyncio's own loop"
        costs = await _costs(uvloop=uvloop, rounds=bench.rounds * 2, count=bench.size(200, 40))
        for figure, words in _FIGURES.items():
            table = _table(f"processes-{figure}-{'uvloop' if uvloop else 'asyncio'}", loop, words)
            for cost in costs:
                if cost["parallel"] == 8:
                    table.note(cost["way"], _kind(cost["way"]), cost[figure])
            ratio = table.ratio(table.contender(_OWN, Kind.OTHER)).median
            table.notes.append(f"Popen is {1 / ratio:.2f} times as good.")
            tables.append(table)
    return tables


def _table(key: str, loop: str, words: str) -> Table:
    return Table(
        key,
        f"Starting a process on {loop}: {words}",
        "Milliseconds for each `/bin/true` through the BackgroundJob mode alone, without queue and files. "
        "The yardstick is `asyncio.create_subprocess_exec`; the other is `subprocess.Popen`, with one epoll "
        "object that tells of all ends: the way taken on Linux, and on uvloop, where the first is not safe.",
        "ms",
        more_is_better=False,
        sort=False,
    )


def _kind(way: str) -> Kind:
    return Kind.FLOOR if way == _PORTABLE else Kind.OTHER


async def _costs(**asked: Any) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *module("process_ways", json.dumps(asked)), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"benchmarks.process_ways exited with code {process.returncode}")
    costs: list[dict[str, Any]] = json.loads(out)
    return sorted(costs, key=lambda cost: str(cost["way"]), reverse=True)
