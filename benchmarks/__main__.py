"""``python -m benchmarks``: runs the sections, shows the tables, writes the report."""

from __future__ import annotations

import argparse
import asyncio
import compileall
import contextlib
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp_jobs

from . import report
from .bench import Bench
from .peers.launch import peers
from .place import work_folder
from .processes import adopt_orphans, end_descendants
from .publish import publish
from .sections import (
    busy,
    cluster,
    events,
    functions,
    kept,
    latency,
    output,
    powershell,
    processes,
    results,
    runspace,
    scale,
    startup,
    submit,
    throughput,
)
from .sections import idle as idle_section
from .tables import Table

Section = Callable[[Bench], Awaitable[list[Table]]]

SECTIONS: dict[str, Section] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "runspace": runspace.measure,
    "functions": functions.measure,
    "processes": processes.measure,
    "submit": submit.measure,
    "events": events.measure,
    "busy": busy.measure,
    "output": output.measure,
    "scale": scale.measure,
    "cluster": cluster.measure,
    "startup": startup.measure,
    "powershell": powershell.measure,
    "results": results.measure,
    "kept": kept.measure,
    "idle": idle_section.measure,
}
"""In the order in which they run."""
_NOT_QUICK = ("cluster",)
"""Takes a minute and a half however little is measured, and so is left out of a quick run that names none."""
_WITH_PEERS = ("throughput", "latency", "runspace", "functions")
_BUDGETS = {
    "runspace": 200.0,
    "cluster": 240.0,
    "functions": 900.0,
    "results": 260.0,
    "kept": 900.0,
    "powershell": 400.0,
}
_BUDGET = 150.0
"""Seconds that a section may take; a third of it is usual, and a slow machine needs twice as much."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two small rounds: under 90 seconds")
    parser.add_argument("--only", default="", help=f"some sections, of: {','.join(SECTIONS)}")
    parser.add_argument(
        "--no-peers", action="store_true", help="measure this package and the yardsticks only"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each measurement")
    arguments = parser.parse_args()
    usual = [name for name in SECTIONS if not (arguments.quick and name in _NOT_QUICK)]
    arguments.only = [name for name in arguments.only.split(",") if name] or usual
    if unknown := set(arguments.only) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


async def _section(bench: Bench, name: str) -> list[Table]:
    started = time.perf_counter()
    print(f"… {name}", file=sys.stderr, flush=True)
    try:
        async with asyncio.timeout(_BUDGETS.get(name, _BUDGET)):
            tables = await SECTIONS[name](bench)
    except Exception as error:
        traceback.print_exc()
        bench.failures.append(f"The section “{name}” failed: {error!r}")
        return []
    for table in tables:
        report.show(table)
    print(f"  ({name}: {time.perf_counter() - started:.0f} s)", file=sys.stderr, flush=True)
    return tables


async def _sections(bench: Bench, names: list[str], *, with_peers: bool) -> list[Table]:
    """Run them: the idle one beside all others, since it takes nothing from them; then those with peers."""
    tables: list[Table] = []
    async with asyncio.TaskGroup() as group:
        idle = group.create_task(_section(bench, "idle")) if "idle" in names else None
        compared = [name for name in names if name in _WITH_PEERS]
        async with peers(bench) if compared and with_peers else contextlib.nullcontext():
            for name in compared:
                tables += await _section(bench, name)
        for name in names:
            if name not in (*compared, "idle"):
                tables += await _section(bench, name)
    return tables + (idle.result() if idle else [])


async def _run(arguments: argparse.Namespace, work: Path) -> int:
    main = asyncio.current_task()
    assert main is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, main.cancel)
    started = time.perf_counter()
    bench = Bench(work, quick=arguments.quick)
    bench.rounds = arguments.rounds or bench.rounds
    tables = await _sections(bench, arguments.only, with_peers=not arguments.no_peers)
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    whole = not arguments.quick and not arguments.no_peers and arguments.only == list(SECTIONS)
    if tables:
        for path in publish(bench, tables, "make bench" if whole else command, whole=whole):
            print(f"Written: {path}", file=sys.stderr)
    for line in [*(f"Did not run: {missing}" for missing in bench.missing), *bench.failures]:
        print(line, file=sys.stderr)
    print(f"{time.perf_counter() - started:.0f} seconds in all.", file=sys.stderr)
    return 1 if bench.failures else 0


def main() -> int:
    arguments = _arguments()
    # As pip does with what it installs: a host that compiles all that it imports keeps a megabyte of holes.
    compileall.compile_dir(Path(aiohttp_jobs.__file__).parent, quiet=1)
    adopt_orphans()
    work = work_folder()
    try:
        return asyncio.run(_run(arguments, work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Stopped.", file=sys.stderr)
        return 130
    finally:
        end_descendants()
        with contextlib.suppress(OSError):
            shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
