"""A function of the host's that does nothing: many beside the peers' tasks, and the first after a start."""

from __future__ import annotations

import asyncio
import sys
import time

from ..bench import PARALLEL, Bench, rate
from ..floors import Pool
from ..ours import COROUTINE, FUNCTION, PYTHON, HostProcess, submit_and_wait
from ..tables import Kind, Table

POOL, OURS = "pebble's pool, nothing kept", "aiohttp-jobs"
OVER_HTTP, ON_THE_LOOP = "aiohttp-jobs, submitted over HTTP", "aiohttp-jobs, a coroutine in MainLoop"
ON_UVLOOP = "aiohttp-jobs, in a host on uvloop"
ALONE, FIRST = "a Python that imports it, calls it and ends", "the first call, the host being just up"
READY, COMMAND = "the first call, once a worker waits", "the first `pass` in Runspace, the host being just up"
_NEXT_WORKER_SECONDS = 1.2
_CALL = "from benchmarks.functions import nothing; nothing()"


async def measure(bench: Bench) -> list[Table]:
    return [await _throughput(bench), await _first(bench)]


async def _throughput(bench: Bench) -> Table:
    count = bench.size(2000, 200)
    on_the_loop = count // 4
    table = Table(
        "functions",
        f"Functions: {count} × one that does nothing, in Runspace",
        f"Jobs per second from the first submission to the last readable result, {PARALLEL} workers. The "
        f"peers run the same function as often, {PARALLEL} at a time, most of them in their own process. "
        "The yardstick is a pool of killable processes (pebble) that keeps nothing. MainLoop runs "
        f"coroutines on the host's own event loop, here {on_the_loop} of them.",
        "jobs/s",
        more_is_better=True,
    )
    pool = await asyncio.to_thread(Pool, PARALLEL)
    try:
        async with (
            bench.host("functions", functions=True, max_parallel_runspace=PARALLEL) as host,
            bench.host(
                "functions-uvloop", functions=True, uvloop=True, max_parallel_runspace=PARALLEL
            ) as on_uvloop,
        ):
            await asyncio.gather(*(_warm(each, count) for each in (host, on_uvloop)))
            for _ in range(bench.rounds):
                table.note(POOL, Kind.FLOOR, count / await asyncio.to_thread(pool.run, count))
                table.note(OURS, Kind.OURS, count / await host.embedded("run", job=FUNCTION, count=count))
                table.note(OVER_HTTP, Kind.OTHER, count / await host.run_over_http(FUNCTION, count))
                seconds = await host.embedded("run", job=COROUTINE, count=on_the_loop)
                table.note(ON_THE_LOOP, Kind.OTHER, on_the_loop / seconds)
                seconds = await on_uvloop.embedded("run", job=FUNCTION, count=count)
                table.note(ON_UVLOOP, Kind.OTHER, count / seconds)
                await bench.each_peer(table, lambda peer: rate(count, peer.many("python", count)))
    finally:
        await asyncio.to_thread(pool.close)
    table.ask_ahead_of_each_peer(OURS)
    return table


async def _warm(host: HostProcess, count: int) -> None:
    """Until it has as many workers as such a run asks for: it starts one after the other."""
    await host.embedded("run", job=COROUTINE, count=1)
    for _ in range(PARALLEL):
        before = host.children_count()
        await host.embedded("run", job=FUNCTION, count=count // 4)
        await asyncio.sleep(_NEXT_WORKER_SECONDS)
        await host.quiet()
        if host.children_count() == before:
            return


async def _first(bench: Bench) -> Table:
    table = Table(
        "functions-first",
        "Functions: the first call after a start",
        "Milliseconds from the request until the result has come. The yardstick starts a Python that imports "
        "the function's module and calls it. A host starts one worker for functions when it starts: a call "
        "that comes at once waits for that.",
        "ms",
        more_is_better=False,
    )
    for _ in range(bench.rounds):
        table.note(ALONE, Kind.FLOOR, await _alone() * 1000)
        async with bench.host("functions-first", functions=True) as host:
            table.note(FIRST, Kind.OURS, await submit_and_wait(host.connection, FUNCTION) * 1000)
        async with bench.host("functions-ready", functions=True) as host:
            await host.quiet()
            table.note(READY, Kind.OTHER, await submit_and_wait(host.connection, FUNCTION) * 1000)
        async with bench.host("functions-command") as host:
            table.note(COMMAND, Kind.OTHER, await submit_and_wait(host.connection, PYTHON) * 1000)
    return table


async def _alone() -> float:
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _CALL)
    if await process.wait():
        raise RuntimeError("a plain Python could not call the function")
    return time.perf_counter() - started
