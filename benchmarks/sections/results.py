"""The results list and search with many stored results against few, as ``results_scale`` measures them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from typing import Any

from ..bench import Bench
from ..tables import Kind, Table

_SECONDS = 250.0
_MEGABYTE = 1e6


async def measure(bench: Bench) -> list[Table]:
    if importlib.util.find_spec("benchmarks.results_scale") is None:
        bench.missing.append("the results list at scale: there is no benchmarks/results_scale.py here")
        return []
    small, large, waiting = 1000, bench.size(1_000_000, 10_000), bench.size(10_000, 300)
    numbers = {"small": small, "large": large, "pending": waiting}
    numbers |= {"rounds": bench.rounds, "times": bench.size(12, 5)}
    found = await _found([part for name, number in numbers.items() for part in (f"--{name}", str(number))])
    return [*_pages(found, small, large), _memory(found, small, large), _start(found, large, waiting)]


async def _found(arguments: list[str]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.results_scale", "--json"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_SECONDS):
        output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("benchmarks.results_scale failed; what it said is above")
    return dict(json.loads(output))


def _pages(found: dict[str, Any], small: int, large: int) -> list[Table]:
    tables = []
    for name, times in found["questions"].items():
        table = Table(
            f"results-{name}",
            f"Results, {name}",
            "Milliseconds, both stores asked in turn. The large store's index is written by the plugin's own "
            "writer, and only the files that are read are there.",
            "ms",
            more_is_better=False,
        )
        for few, many in zip(times["small"], times["large"], strict=True):
            table.note(f"{small:,} results", Kind.FLOOR, few)
            table.note(f"{large:,} results", Kind.OURS, many)
        ratio = table.ratio(table.contenders[-1]).median
        table.ask(f"at most 1.5 times that of {small:,}", f"{ratio:.2f}", ratio <= 1.5)
        tables.append(table)
    return tables


def _memory(found: dict[str, Any], small: int, large: int) -> Table:
    table = Table(
        "results-memory",
        "Memory of a process that has asked everything",
        "MB, resident.",
        "MB",
        more_is_better=False,
    )
    table.note(f"{small:,} results", Kind.FLOOR, found["small"]["rss"] / _MEGABYTE)
    table.note(f"{large:,} results", Kind.OURS, found["large"]["rss"] / _MEGABYTE)
    ratio = found["large"]["rss"] / found["small"]["rss"]
    table.ask("does not grow with the store (at most 1.2 times)", f"{ratio:.2f}", ratio <= 1.2)
    return table


def _start(found: dict[str, Any], large: int, waiting: int) -> Table:
    table = Table(
        "results-start",
        f"Start-up with an index of {large:,} results and {waiting:,} jobs waiting",
        "Seconds from making the application; measured once. The first row is the socket that listens.",
        "s",
        more_is_better=False,
    )
    started = found["start_up"]
    table.note("listening", Kind.FLOOR, started["listening_s"])
    table.note("a page of results answered", Kind.OURS, started["answered_s"])
    if "first_job_s" in started:
        table.note("the first waiting job ended", Kind.OTHER, started["first_job_s"])
    answered = started["answered_s"]
    table.ask("ready to serve in under 2 s", f"{answered:.2f} s", answered < 2)
    return table
