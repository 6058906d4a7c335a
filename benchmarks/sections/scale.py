"""What a job costs while many others wait."""

from __future__ import annotations

from contextlib import AsyncExitStack

from ..bench import Bench
from ..ours import COMMAND, HostProcess
from ..tables import Kind, Table

_FLAT = 1.2


async def measure(bench: Bench) -> list[Table]:
    sizes = (10, 100, 1000, 10_000) if not bench.quick else (10, 300)
    jobs = bench.size(100, 10)
    table = Table(
        "scale",
        "Cost of a job while others wait",
        f"Milliseconds per `/bin/true`, {jobs} of them, one after the other, while as many jobs wait as the "
        "row says. The yardstick is the first row. A host each, filled again between the rounds.",
        "ms/job",
        more_is_better=False,
        sort=False,
    )
    async with AsyncExitStack() as stack:
        hosts: dict[int, HostProcess] = {}
        for size in sizes:
            host = await stack.enter_async_context(bench.host(f"scale-{size}", max_parallel_background=1))
            await host.embedded("fill", job=COMMAND, count=size)
            hosts[size] = host
        for size, host in hosts.items():
            await _drain(host, size, 10)
        for _ in range(bench.rounds):
            for size, host in hosts.items():
                kind = Kind.FLOOR if size == sizes[0] else Kind.OURS
                table.note(f"{size:,} wait", kind, await _drain(host, size, jobs) * 1000)
    last = table.contenders[-1]
    ratio = table.ratio(last).median
    table.ask(f"flat (at most {_FLAT} times at {sizes[-1]:,})", f"{ratio:.2f}", ratio <= _FLAT)
    return [table]


async def _drain(host: HostProcess, size: int, jobs: int) -> float:
    """Seconds per job; there are `size` waiting before and after."""
    seconds, done = 0.0, 0
    while done < jobs:
        some = min(jobs - done, size)
        seconds += await host.embedded("drain", count=some)
        await host.embedded("fill", job=COMMAND, count=some)
        done += some
    return seconds / done
