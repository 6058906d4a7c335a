"""A function of the host's that does nothing: many beside the peers' tasks, and the first after a start."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from ..bench import PARALLEL, Bench, rate
from ..floors import Pool
from ..ours import COROUTINE, FUNCTION, PYTHON, HostProcess, submit_and_wait
from ..peers.process import Peer
from ..tables import Kind, Table

POOL, OURS = "pebble's pool, nothing kept", "aiohttp-jobs"
OVER_HTTP, ON_THE_LOOP = "aiohttp-jobs, submitted over HTTP", "aiohttp-jobs, a coroutine in MainLoop"
ON_UVLOOP = "aiohttp-jobs, in a host on uvloop"
ALONE, FIRST = "a Python that imports it, calls it and ends", "the first call, the host being just up"
READY, COMMAND = "the first call, once a worker waits", "the first `pass` in Runspace, the host being just up"
_NEXT_WORKER_SECONDS = 1.2
_TRIED = (PARALLEL, 2 * PARALLEL, 4 * PARALLEL)
_TRIALS = 4
_CALL = "from benchmarks.functions import nothing; nothing()"


async def measure(bench: Bench) -> list[Table]:
    return [await _throughput(bench), await _first(bench)]


async def _throughput(bench: Bench) -> Table:
    count = bench.size(2000, 200)
    on_the_loop = count // 4
    tried = _TRIED[:1] if bench.quick else _TRIED
    table = Table(
        "functions",
        f"Functions: {count} × one that does nothing, in Runspace",
        "Jobs per second from the first submission to the last readable result. Each system runs as many at "
        f"a time as serve it best, of {', '.join(map(str, tried))}, as {_TRIALS} rounds of each tell before. "
        "The peers run the same function as often, most of them in their own process. The yardstick is a "
        f"pool of {PARALLEL} killable processes (pebble) that keeps nothing. MainLoop runs coroutines on the "
        f"host's own event loop, here {on_the_loop} of them.",
        "jobs/s",
        more_is_better=True,
    )
    pool = await asyncio.to_thread(Pool, PARALLEL)
    try:
        async with AsyncExitStack() as stack:
            ours, host = await _best_host(bench, stack, count, tried)
            on_uvloop = await stack.enter_async_context(
                bench.host("functions-uvloop", functions=True, uvloop=True, max_parallel_runspace=ours)
            )
            await _warm(on_uvloop, count, ours)
            best = {OURS: ours}

            async def choose(peer: Peer) -> float:
                best[peer.name] = await _best_of(peer, count, tried)
                return best[peer.name]

            # Noted in a table of its own, which is not shown: those that fail take part no more.
            await bench.each_peer(Table("", table.title, "", "", more_is_better=True), choose)
            table.notes.append("At a time: " + ", ".join(f"{name} {n}" for name, n in best.items()) + ".")
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
    for peer in bench.peers:
        async with peer.awake():
            await peer.run_at_a_time(PARALLEL)
    table.ask_ahead_of_each_peer(OURS)
    return table


async def _best_host(
    bench: Bench, stack: AsyncExitStack, count: int, tried: Sequence[int]
) -> tuple[int, HostProcess]:
    """How many functions at a time serve a host best, and one that runs so many and is warm."""
    hosts: dict[int, HostProcess] = {}
    ended: dict[int, AsyncExitStack] = {}
    for parallel in tried:
        ended[parallel] = await stack.enter_async_context(AsyncExitStack())
        hosts[parallel] = await ended[parallel].enter_async_context(
            bench.host(f"functions-{parallel}", functions=True, max_parallel_runspace=parallel)
        )
        await _warm(hosts[parallel], count, parallel)

    async def run(parallel: int) -> float:
        return float(await hosts[parallel].embedded("run", job=FUNCTION, count=count))

    best = await _fastest(run, tried)
    for parallel in tried:
        if parallel != best:
            await ended[parallel].aclose()
    return best, hosts[best]


async def _best_of(peer: Peer, count: int, tried: Sequence[int]) -> int:
    """How many functions at a time serve `peer` best; it runs so many from now on."""

    async def run(parallel: int) -> float:
        await peer.run_at_a_time(parallel)
        return await peer.many("python", count)

    best = await _fastest(run, tried)
    await peer.run_at_a_time(best)
    return best


async def _fastest(run: Callable[[int], Awaitable[float]], tried: Sequence[int]) -> int:
    """Of the numbers `tried`, the one with the fewest seconds in any trial."""
    if len(tried) == 1:
        return tried[0]
    seconds = {parallel: [await run(parallel) for _ in range(_TRIALS)] for parallel in tried}
    return min(tried, key=lambda parallel: min(seconds[parallel]))


async def _warm(host: HostProcess, count: int, parallel: int) -> None:
    """Until it has as many workers as such a run asks for: it starts one after the other."""
    await host.embedded("run", job=COROUTINE, count=1)
    for _ in range(parallel):
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
