"""The host's own latency while its jobs keep the machine busy, against the same load from outside."""

from __future__ import annotations

import asyncio

from ..bench import PARALLEL, Bench
from ..loads import cancel_all, outside, until_running, watching
from ..ours import API, HostProcess
from ..tables import Kind, Table, percentile

FLOOR, OURS, IDLE = "the same programs outside the host", "as jobs of the host", "no load at all"
_SPIN = "while True:\n    pass"
_CHAT = "import time\nwhile True:\n    print('x' * 80, flush=True)\n    time.sleep(0.005)"
_SETTLE_SECONDS = 0.5


async def measure(bench: Bench) -> list[Table]:
    seconds = bench.size(20, 4) / 10
    table = Table(
        "busy",
        "A trivial route of the host while the machine is busy: p99",
        f"Milliseconds, p99 of requests one after the other for {seconds:g} s, while {PARALLEL} Python loops "
        f"that never end (Runspace) and {PARALLEL} programs that print 200 lines a second "
        "(BackgroundJob) run. The yardstick has the same programs started beside the host.",
        "ms",
        more_is_better=False,
    )
    async with bench.host("busy", max_parallel_runspace=PARALLEL, kill_grace=0.5) as host:
        folder = bench.folder("outside")
        for _ in range(bench.rounds):
            table.note(IDLE, Kind.OTHER, await _p99(host, seconds))
            with outside([_SPIN, _CHAT] * PARALLEL, folder):
                table.note(FLOOR, Kind.FLOOR, await _p99(host, seconds))
            jobs = [
                await host.submit(job)
                for job in (_job("Runspace", _SPIN), _job("BackgroundJob", _CHAT))
                for _ in range(PARALLEL)
            ]
            await until_running(host, API, 2 * PARALLEL)
            table.note(OURS, Kind.OURS, await _p99(host, seconds))
            await cancel_all(host, jobs, API)
            await asyncio.sleep(_SETTLE_SECONDS)  # new workers start in place of the killed
    table.contenders.sort(key=lambda row: row.kind is not Kind.FLOOR)
    ratio = table.ratio(table.contender(OURS, Kind.OURS)).median
    table.ask("at most 1.5 times what the same load costs outside", f"{ratio:.2f}", ratio <= 1.5)
    return [table]


def _job(mode: str, program: str) -> dict[str, str]:
    return {"jobName": "busy", "command": program, "executionMode": mode, "interpreter": "python"}


async def _p99(host: HostProcess, seconds: float) -> float:
    await asyncio.sleep(_SETTLE_SECONDS)
    async with watching(host) as watch:
        await asyncio.sleep(seconds)
    return percentile(watch.pings, 0.99) * 1000
