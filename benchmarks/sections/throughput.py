"""BackgroundJob throughput: many times ``/bin/true``, against a bare loop that only spawns."""

from __future__ import annotations

from ..bench import PARALLEL, Bench, rate
from ..floors import spawn_many
from ..ours import COMMAND
from ..tables import Kind, Table

FLOOR, OURS = "bare spawn loop", "aiohttp-jobs"
OVER_HTTP, DRAIN = "aiohttp-jobs, submitted over HTTP", "aiohttp-jobs, accepted before"
ON_UVLOOP = "aiohttp-jobs, in a host on uvloop"


async def measure(bench: Bench) -> list[Table]:
    count = bench.size(500, 100)
    fewer = bench.size(300, 60)  # of the peers, of which there are many
    table = Table(
        "throughput",
        f"BackgroundJob throughput: {count} × /bin/true",
        f"Jobs per second, {PARALLEL} at a time, from the first submission to the last readable result. "
        "The yardstick is a loop of `asyncio.create_subprocess_exec` and `communicate`, which keeps nothing. "
        f"aiohttp-jobs takes the jobs as the peers do ({fewer} of them): from code in a process that is up. "
        "Its second row has them sent over HTTP within the time, its third has them accepted before the "
        "clock starts; the host of its fourth runs on uvloop, all others on asyncio's own loop.",
        "jobs/s",
        more_is_better=True,
    )
    async with bench.host("throughput") as host, bench.host("throughput-uvloop", uvloop=True) as on_uvloop:
        await spawn_many(PARALLEL, PARALLEL)
        for each in (host, on_uvloop):
            await each.embedded("run", job=COMMAND, count=PARALLEL)
        for _ in range(bench.rounds):
            table.note(FLOOR, Kind.FLOOR, count / await spawn_many(count, PARALLEL))
            seconds = await host.embedded("run", job=COMMAND, count=count)
            table.note(OURS, Kind.OURS, count / seconds)
            table.note(OVER_HTTP, Kind.OTHER, count / await host.run_over_http(COMMAND, count))
            await host.embedded("fill", job=COMMAND, count=count)
            table.note(DRAIN, Kind.OTHER, count / await host.embedded("drain", count=count))
            seconds = await on_uvloop.embedded("run", job=COMMAND, count=count)
            table.note(ON_UVLOOP, Kind.OTHER, count / seconds)
            await bench.each_peer(table, lambda peer: rate(fewer, peer.many("command", fewer)))
    ratio = table.ratio(table.contender(OURS, Kind.OURS)).median
    table.ask("at least 0.9 of the bare loop", f"{ratio:.2f}", ratio >= 0.9)
    table.ask_ahead_of_peers(OURS)
    return [table]
