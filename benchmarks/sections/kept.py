"""What many kept results of real sizes cost those that come: jobs a second, and the index for its text."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from aiohttp_jobs.system.app_folder import APP_FOLDER

from .. import outputs
from ..bench import PARALLEL, Bench
from ..ours import HostProcess
from ..tables import Kind, Table

_TEXTS = 1000
_MEGABYTE = 1e6


async def measure(bench: Bench) -> list[Table]:
    kept = bench.size(100_000, 2000)
    folder = bench.folder("kept")
    built = await _build(folder / APP_FOLDER, kept)
    job = _job(bench.folder("kept-texts"))
    tables = [await _throughput(bench, folder, job, kept), await _sizes(bench)]
    tables[1].notes.append(
        f"The index of {2 * kept:,} results of all kinds, of which half were deleted again, takes "
        f"{built['index_bytes'] / built['text_bytes']:.2f} of the text that was added."
    )
    return tables


async def _build(folder: Path, count: int, *options: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.kept_results", str(folder), "--count", str(count), *options),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("benchmarks.kept_results failed; what it said is above")
    return dict(json.loads(output))


def _job(folder: Path) -> dict[str, Any]:
    """One that prints one of many texts, by the number of its process."""
    for number in range(_TEXTS):
        chosen = random.Random(f"text {number}")
        (folder / str(number)).write_text(outputs.any_kind(chosen, outputs.size(chosen)))
    command = f"exec cat {folder}/$(($$ % {_TEXTS}))"
    return {"jobName": "bench", "command": command, "executionMode": "BackgroundJob"}


async def _throughput(bench: Bench, folder: Path, job: dict[str, Any], kept: int) -> Table:
    count = bench.size(500, 100)
    table = Table(
        "kept-throughput",
        f"Jobs with outputs of 100 bytes to 300 KB, beside {kept:,} such results",
        f"Jobs per second, {count} of them, {PARALLEL} at a time, as in the first section; in a host that "
        f"began with no result, and in one that began with {kept:,} and an index that also has the words of "
        "as many deleted ones.",
        "jobs/s",
        more_is_better=True,
    )
    names = ("no results before", f"{kept:,} results before")
    async with bench.host("kept-none") as none, bench.host("kept-many", folder=folder) as many:
        hosts = list(zip(names, (Kind.FLOOR, Kind.OURS), (none, many), strict=True))
        spent: dict[str, list[_Spent]] = {name: [] for name in names}
        for _, _, host in hosts:
            await host.embedded("run", job=job, count=PARALLEL)
        for number in range(bench.rounds):
            for name, kind, host in hosts if number % 2 else reversed(hosts):
                before = _Spent(host)
                seconds = await host.embedded("run", job=job, count=count)
                await _indexed(host)
                table.contender(names[0], Kind.FLOOR)
                table.note(name, kind, count / seconds)
                spent[name].append(_Spent(host) - before)
    for name, rounds in spent.items():
        table.notes.append(f"{name.capitalize()}: {_Spent.each(rounds, count)}")
    ratio = table.ratio(table.contenders[-1]).median
    table.ask("at least 0.9 of those beside none", f"{ratio:.2f}", ratio >= 0.9)
    return table


async def _indexed(host: HostProcess) -> None:
    """Return when what has ended is in the index: a list waits for it."""
    await host.connection.json("GET", "/apps/WebHostTaskManagement/api/v1/results?limit=1")


class _Spent:
    """What a host's own process has spent: bytes written and read, and seconds of the processor."""

    def __init__(self, host: HostProcess | None = None) -> None:
        self.written = self.read = 0
        self.seconds = 0.0
        if host is not None:
            lines = Path(f"/proc/{host.process.pid}/io").read_text().splitlines()
            found = {name: int(value) for name, value in (line.split(": ") for line in lines)}
            self.written, self.read = found["wchar"], found["rchar"]
            self.seconds = host.own_cpu_seconds()

    def __sub__(self, before: _Spent) -> _Spent:
        spent = _Spent()
        spent.written, spent.read = self.written - before.written, self.read - before.read
        spent.seconds = self.seconds - before.seconds
        return spent

    @staticmethod
    def each(rounds: list[_Spent], count: int) -> str:
        """What each job took of it, with `count` of them in each of `rounds`."""
        jobs = count * len(rounds)
        written, read = (sum(getattr(one, name) for one in rounds) / jobs for name in ("written", "read"))
        seconds = sum(one.seconds for one in rounds) / jobs
        return (
            f"{written / 1000:.0f} KB written, {read / 1000:.0f} KB read and {1000 * seconds:.1f} ms of the "
            "processor by the host's own process for each job."
        )


async def _sizes(bench: Bench) -> Table:
    count = bench.size(2000, 200)
    table = Table(
        "kept-index",
        "The index of results, by kind of text",
        f"Bytes of its file for each byte of the text that can be searched, with {count:,} results.",
        "of the text",
        more_is_better=False,
        sort=False,
    )
    table.note("the text", Kind.FLOOR, 1)
    for kind in outputs.KINDS:
        built = await _build(bench.folder("kept-kind") / "store", count, "--kind", kind, "--deleted", "0")
        ratio = built["index_bytes"] / built["text_bytes"]
        table.note(kind, Kind.OURS, ratio)
        seconds = built["processor_seconds"] / built["text_bytes"] * _MEGABYTE
        table.notes.append(f"{kind}: {1000 * seconds:.0f} ms of the processor to write the words of 1 MB.")
        table.ask(f"{kind}: at most half of the text", f"{ratio:.2f}", ratio <= 0.5)
    return table
