"""Runspace throughput: a trivial piece of Python with a durable result, against a bare process pool."""

from __future__ import annotations

import asyncio

from ..bench import PARALLEL, Bench, rate
from ..floors import Pool
from ..ours import PYTHON
from ..tables import Kind, Table

FLOOR, OURS = "pebble's pool, nothing kept", "aiohttp-jobs"
ON_UVLOOP = "aiohttp-jobs, in a host on uvloop"


async def measure(bench: Bench) -> list[Table]:
    count = bench.size(2000, 200)
    fewer = count * 3 // 20  # of the peers, of which there are many
    table = Table(
        "runspace",
        f"Runspace throughput: {count} × `pass` in Python",
        f"Jobs per second from the first submission to the last readable result, {PARALLEL} workers; the "
        f"peers run {fewer} tasks that do nothing, {PARALLEL} at a time, most of them in their own process. "
        "The yardstick is a pool of killable processes (pebble) that runs the same and keeps nothing.",
        "jobs/s",
        more_is_better=True,
    )
    pool = await asyncio.to_thread(Pool, PARALLEL)
    try:
        async with (
            bench.host("runspace", max_parallel_runspace=PARALLEL) as host,
            bench.host("runspace-uvloop", uvloop=True, max_parallel_runspace=PARALLEL) as on_uvloop,
        ):
            for each in (host, on_uvloop):
                await each.embedded("run", job=PYTHON, count=PARALLEL * 2)
            for _ in range(bench.rounds):
                table.note(FLOOR, Kind.FLOOR, count / await asyncio.to_thread(pool.run, count))
                table.note(OURS, Kind.OURS, count / await host.embedded("run", job=PYTHON, count=count))
                seconds = await on_uvloop.embedded("run", job=PYTHON, count=count)
                table.note(ON_UVLOOP, Kind.OTHER, count / seconds)
                await bench.each_peer(table, lambda peer: rate(fewer, peer.many("python", fewer)))
    finally:
        await asyncio.to_thread(pool.close)
    ratio = table.ratio(table.contender(OURS, Kind.OURS)).median
    table.notes.append(f"Of the pool's own rate: {ratio:.2f} (no number is asked for).")
    table.ask_ahead_of_peers(OURS)
    return [table]
