"""What the plugin costs when there is nothing to do: processor time, and memory over a bare host."""

from __future__ import annotations

import asyncio

from ..bench import Bench
from ..ours import HostProcess
from ..tables import Kind, Table

FLOOR, OURS, WORKERS = "bare aiohttp host", "host with the plugin", "its warm workers, all together"
_SETTLE_SECONDS = 3.0
_MEGABYTE = 1024 * 1024


async def measure(bench: Bench) -> list[Table]:
    seconds = bench.size(60, 10)
    memory = Table(
        "idle-memory",
        "Memory with nothing to do",
        "MB: resident memory of the host's process; of the workers, what each has for itself. Measured once, "
        f"{_SETTLE_SECONDS:g} s after the start.",
        "MB",
        more_is_better=False,
    )
    used = Table(
        "idle-cpu",
        f"Processor time in {seconds} s with nothing to do",
        "Percent of one core, the host and its workers together. Measured once, while other sections run: "
        "what a process uses itself does not depend on them.",
        "% of a core",
        more_is_better=False,
    )
    async with bench.host("bare", plugin=False) as bare, bench.host("idle") as ours:
        await asyncio.sleep(_SETTLE_SECONDS)
        memory.note(FLOOR, Kind.FLOOR, bare.rss() / _MEGABYTE)
        memory.note(OURS, Kind.OURS, ours.rss() / _MEGABYTE)
        memory.note(WORKERS, Kind.OTHER, ours.children_memory() / _MEGABYTE)
        for name, kind, share in zip(
            (FLOOR, OURS), (Kind.FLOOR, Kind.OURS), await _cpu(seconds, bare, ours), strict=True
        ):
            used.note(name, kind, share * 100)
    more = memory.difference(memory.contender(OURS, Kind.OURS)).median
    memory.ask("under 25 MB over a bare host", f"+ {more:.1f} MB", more < 25)
    percent = used.contender(OURS, Kind.OURS).median
    used.ask("under 0.1 % of a core", f"{percent:.3f} %", percent < 0.1)
    return [memory, used]


async def _cpu(seconds: float, *hosts: HostProcess) -> list[float]:
    before = [host.cpu_seconds() for host in hosts]
    await asyncio.sleep(seconds)
    return [(host.cpu_seconds() - used) / seconds for host, used in zip(hosts, before, strict=True)]
