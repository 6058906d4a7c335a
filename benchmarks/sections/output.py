"""Output: one job that prints much, many that print at once, and many watchers of one."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from ..bench import Bench
from ..loads import Watch, read_pipe, watching
from ..ours import API, HostProcess, submit_and_wait
from ..tables import Kind, Table
from ..wire import Connection

CAT, BARE = "cat into a pipe that is read", "bare asyncio, `communicate`"
STREAM, OURS = "bare aiohttp event stream", "aiohttp-jobs"
MEGABYTE = 1024 * 1024
JOBS, WATCHERS = 100, 200
_ONE_OUTPUT = 1_000_000
_WATCHED = 250_000
_PIECE = 16 * 1024
_MOST_GROWTH = 64
_MOST_FOR_EACH = 2
"""Of each of many jobs: its output is kept as text, and written as JSON."""


async def measure(bench: Bench) -> list[Table]:
    folder = bench.folder("printed")
    big, small, watched = (folder / name for name in ("big", "small", "watched"))
    line = "".join(
        f"{number:08d} a line of output that somebody may want to read later\n" for number in range(1000)
    )
    quarter = bench.size(256, 16) * MEGABYTE
    big.write_text((line * (quarter // len(line) + 1))[:quarter])
    watched.write_text((line * 20)[: bench.size(_WATCHED, _WATCHED // 5)])
    small.write_text((line * 20)[:_ONE_OUTPUT])
    async with bench.host("output", max_parallel_background=JOBS, max_streams_per_user=2 * WATCHERS) as host:
        return [
            *await _much(bench, host, big),
            await _at_once(bench, host, small),
            await _watched(bench, host, watched),
        ]


async def _much(bench: Bench, host: HostProcess, file: Path) -> list[Table]:
    size = 4 * file.stat().st_size / MEGABYTE
    rates = Table(
        "output-rate",
        f"One job that prints {size:,.0f} MB",
        "MB per second, from the submission to the readable result; `cat` of the same file.",
        "MB/s",
        more_is_better=True,
    )
    others = Table(
        "output-others",
        f"A trivial route of the host while {size:,.0f} MB are printed: median",
        "Milliseconds; the yardstick is the same host while `cat` prints into somebody else's pipe.",
        "ms",
        more_is_better=False,
    )
    arguments, growth = ["cat", *[str(file)] * 4], 0
    for _ in range(bench.rounds):
        async with watching(host) as beside:
            rates.note(CAT, Kind.FLOOR, size / await asyncio.to_thread(read_pipe, arguments))
        async with watching(host) as watch:
            started = time.perf_counter()
            await submit_and_wait(host.connection, _job(" ".join(arguments)))
            rates.note(OURS, Kind.OURS, size / (time.perf_counter() - started))
        others.note(CAT, Kind.FLOOR, statistics.median(beside.pings) * 1000)
        others.note(OURS, Kind.OURS, statistics.median(watch.pings) * 1000)
        growth = max(growth, watch.growth)
    _ask_half(rates)
    _ask_memory(rates, growth, _MOST_GROWTH)
    ratio = others.ratio(others.contender(OURS, Kind.OURS)).median
    others.ask("nobody else slowed (at most 1.5 times)", f"{ratio:.2f}", ratio <= 1.5)
    return [rates, others]


async def _at_once(bench: Bench, host: HostProcess, file: Path) -> Table:
    table = Table(
        "output-many",
        f"{JOBS} jobs that print 1 MB each, at once",
        f"MB per second of all of them; the yardstick starts {JOBS} processes at once and keeps nothing.",
        "MB/s",
        more_is_better=True,
    )
    growth = 0
    for _ in range(bench.rounds):
        async with watching(host):  # which takes its share, of either
            started = time.perf_counter()
            await asyncio.gather(*(_communicate(file) for _ in range(JOBS)))
            table.note(BARE, Kind.FLOOR, JOBS / (time.perf_counter() - started))
        async with watching(host) as watch:
            seconds = await host.run_over_http(_job(f"cat {file}"), JOBS)
        table.note(OURS, Kind.OURS, JOBS / seconds)
        growth = max(growth, watch.growth)
    _ask_half(table)
    _ask_memory(table, growth, _MOST_FOR_EACH * JOBS)
    return table


async def _communicate(file: Path) -> None:
    process = await asyncio.create_subprocess_exec("cat", str(file), stdout=asyncio.subprocess.PIPE)
    await process.communicate()


async def _watched(bench: Bench, host: HostProcess, file: Path) -> Table:
    size = file.stat().st_size / 1e6
    table = Table(
        "output-watched",
        f"{WATCHERS} watchers of one job that prints {size * 1000:.0f} kB",
        "MB per second that reach all watchers together; the yardstick is an aiohttp handler that sends a "
        "file as Server-Sent Events in pieces of 16 KiB.",
        "MB/s",
        more_is_better=True,
    )
    growth, bare, ours = 0, list[float](), list[float]()
    path = f"/bench/events?path={file}&piece={_PIECE}"
    for number in range(bench.rounds):
        watchers = await host.connections(WATCHERS)
        started = time.perf_counter()
        async with watching(host) as beside:
            await asyncio.gather(*(_follow(watcher, path) for watcher in watchers))
        table.note(STREAM, Kind.FLOOR, WATCHERS * size / (time.perf_counter() - started))
        bare += beside.pings
        watch, seconds = await _watch_job(host, file, file.with_name(f"go-{number}"))
        table.note(OURS, Kind.OURS, WATCHERS * size / seconds)
        ours += watch.pings
        growth = max(growth, watch.growth)
    _ask_half(table)
    _ask_memory(table, growth, _MOST_GROWTH)
    pings = f"{_milliseconds(bare)} while the yardstick runs, {_milliseconds(ours)}"
    table.notes.append(f"A trivial route of the host meanwhile, median: {pings} while ours does.")
    return table


async def _watch_job(host: HostProcess, file: Path, go: Path) -> tuple[Watch, float]:
    job = await host.submit(_job(f"while [ ! -e {go} ]; do sleep 0.01; done; cat {file}"))
    watchers = await host.connections(WATCHERS)
    async with watching(host) as watch:
        following = [asyncio.create_task(_follow(one, f"{API}/jobs/{job}/events")) for one in watchers]
        await asyncio.sleep(0.5)
        started = time.perf_counter()
        go.touch()
        await asyncio.gather(*following)
        return watch, time.perf_counter() - started


async def _follow(watcher: Connection, path: str) -> None:
    """Read an event stream to its end, without looking at more than has to be looked at."""
    watcher.send("GET", path)
    tail = b""
    while b"event: end" not in tail:
        piece = await watcher.reader.read(1 << 18)
        if not piece:
            raise RuntimeError("the event stream broke off")
        tail = tail[-20:] + piece
    await watcher.close()


def _job(command: str) -> dict[str, str]:
    return {"jobName": "output", "command": command, "executionMode": "BackgroundJob"}


def _milliseconds(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f} ms" if seconds else "none answered"


def _ask_half(table: Table) -> None:
    ratio = table.ratio(table.contender(OURS, Kind.OURS)).median
    table.ask("at least 0.5 of the yardstick", f"{ratio:.2f}", ratio >= 0.5)


def _ask_memory(table: Table, growth: int, most: int) -> None:
    grown = growth / MEGABYTE
    asked = f"bounded memory (at most {most} MB more than before)"
    table.ask(asked, f"+ {grown:.0f} MB at most", grown <= most)
