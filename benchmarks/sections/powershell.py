"""PowerShell jobs against a plain ``pwsh`` for each: latency in Runspace and BackgroundJob, jobs a minute."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

from ..bench import Bench
from ..ours import HostProcess, submit_and_wait
from ..tables import Kind, Table

FLOOR = "pwsh -NoProfile -NonInteractive -File"
TEXT, FILES = '"x"', "Get-ChildItem /usr"
HOSTS = 2
_HOW = (
    "Milliseconds from the request until the result has come; the yardstick runs the same script by itself."
)


async def measure(bench: Bench) -> list[Table]:
    if shutil.which("pwsh") is None:
        bench.missing.append("PowerShell: there is no pwsh on PATH or in ../shared/powershell")
        return []
    script = bench.folder("powershell-scripts") / "x.ps1"
    async with bench.host("powershell", max_parallel_runspace=HOSTS) as host:
        await host.run_over_http(_job("Runspace", TEXT), 4 * HOSTS)
        return [
            await _latency(bench, host, script, "Runspace", TEXT, 30),
            await _latency(bench, host, script, "Runspace", FILES, 30),
            await _latency(bench, host, script, "BackgroundJob", TEXT, 10),
            await _throughput(bench, host, script),
        ]


def _job(mode: str, command: str) -> dict[str, str]:
    return {"jobName": "bench", "command": command, "executionMode": mode, "interpreter": "powershell"}


async def _latency(
    bench: Bench, host: HostProcess, script: Path, mode: str, command: str, asked: int
) -> Table:
    waits = "a host waits" if mode == "Runspace" else "a spare waits"
    name = f"{mode}, where {waits}"
    table = Table(
        f"powershell-{mode.lower()}-{'text' if command == TEXT else 'files'}",
        f"PowerShell, {mode}: `{command}`",
        _HOW,
        "ms",
        more_is_better=False,
    )
    script.write_text(command)
    for _ in range(2 * bench.rounds):
        table.note(FLOOR, Kind.FLOOR, await _plain(script) * 1000)
        await host.quiet()
        table.note(name, Kind.OURS, await submit_and_wait(host.connection, _job(mode, command)) * 1000)
        await host.quiet()
    times = 1 / table.ratio(table.contender(name, Kind.OURS)).median
    table.ask(f"at least {asked} times as fast", f"{times:.1f} times", times >= asked)
    return table


async def _throughput(bench: Bench, host: HostProcess, script: Path) -> Table:
    count = bench.size(200, 40)
    fewer = count // 5
    name = f"Runspace jobs, {HOSTS} hosts"
    table = Table(
        "powershell-throughput",
        f"PowerShell, jobs a minute: `{TEXT}`",
        f"{count} jobs over HTTP to the last readable result; the yardstick runs {fewer}, {HOSTS} at a time.",
        "jobs/min",
        more_is_better=True,
    )
    script.write_text(TEXT)
    for _ in range(bench.rounds):
        table.note(FLOOR, Kind.FLOOR, 60 * fewer / await _plain_many(script, fewer))
        table.note(name, Kind.OURS, 60 * count / await host.run_over_http(_job("Runspace", TEXT), count))
    times = table.ratio(table.contender(name, Kind.OURS)).median
    table.ask("at least 8 times as many", f"{times:.1f} times", times >= 8)
    return table


async def _plain(script: Path) -> float:
    """Seconds of one ``pwsh`` that runs `script`."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *FLOOR.split(),
        str(script),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    await process.communicate()
    return time.perf_counter() - started


async def _plain_many(script: Path, count: int) -> float:
    async def some() -> None:
        for _ in range(count // HOSTS):
            await _plain(script)

    started = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(HOSTS)))
    return time.perf_counter() - started
