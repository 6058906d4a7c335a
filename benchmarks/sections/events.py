"""From the first byte that a job prints to the event on the wire, in each mode (issue 3, point 2)."""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import time

from ..bench import Bench
from ..ours import API, HostProcess
from ..tables import Kind, Table

FLOOR = "a pipe read by asyncio"
_MODES = ("BackgroundJob", "Runspace", "MainLoop")
_PAUSE = {"MainLoop": "await asyncio.sleep(0.02)"}
_STAMP = re.compile(rb"\d{19}")


def _program(mode: str, count: int) -> str:
    pause = _PAUSE.get(mode, "time.sleep(0.02)")
    return (
        f"import asyncio, time\nfor _ in range({count}):\n    print(time.time_ns(), flush=True)\n    {pause}"
    )


async def measure(bench: Bench) -> list[Table]:
    count = bench.size(30, 10)
    table = Table(
        "events",
        "From the byte printed to the event at the watcher: median",
        f"Milliseconds; a job prints the time {count} times, 20 ms apart, to a watcher of its event stream.",
        "ms",
        more_is_better=False,
    )
    async with bench.host("events") as host:
        for _ in range(bench.rounds):
            table.note(FLOOR, Kind.FLOOR, await _pipe(count))
            for mode in _MODES:
                table.note(mode, Kind.OURS, await _stream(host, mode, count))
    for mode in _MODES:
        median = table.contender(mode, Kind.OURS).median
        table.ask(f"{mode}: under 50 ms", f"{median:.2f} ms", median < 50)
    return [table]


async def _pipe(count: int) -> float:
    program = _program("", count)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    delays = [(time.time_ns() - int(line)) / 1e6 async for line in process.stdout]
    await process.wait()
    return statistics.median(delays)


async def _stream(host: HostProcess, mode: str, count: int) -> float:
    job = {
        "jobName": "events",
        "command": _program(mode, count),
        "executionMode": mode,
        "interpreter": "python",
    }
    job_id = await host.submit(job)
    [watcher] = await host.connections(1)
    watcher.send("GET", f"{API}/jobs/{job_id}/events")
    delays = []
    while b"event: end" not in (line := await watcher.reader.readuntil(b"\n")):
        now = time.time_ns()
        if line.startswith(b"data:"):
            delays += [(now - int(stamp)) / 1e6 for stamp in _STAMP.findall(line)]
    await watcher.close()
    if len(delays) != count:
        raise RuntimeError(f"{mode}: {len(delays)} of {count} lines arrived")
    return statistics.median(delays)
