"""``python -m benchmarks``: runs the sections, shows the tables, writes the report."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from . import report
from .bench import Bench
from .peers.launch import peers
from .processes import adopt_orphans, end_descendants
from .sections import latency, runspace, submit, throughput
from .tables import Table

Section = Callable[[Bench], Awaitable[list[Table]]]

SECTIONS: dict[str, Section] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "runspace": runspace.measure,
    "submit": submit.measure,
}
"""In the order in which they run."""
_WITH_PEERS = ("throughput", "latency", "runspace")
_SECTION_SECONDS = 240.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three small rounds: under 90 seconds")
    parser.add_argument("--only", default="", help=f"some sections, of: {','.join(SECTIONS)}")
    parser.add_argument(
        "--no-peers", action="store_true", help="measure this package and the yardsticks only"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each measurement")
    arguments = parser.parse_args()
    arguments.only = [name for name in arguments.only.split(",") if name] or list(SECTIONS)
    if unknown := set(arguments.only) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


async def _section(bench: Bench, name: str) -> list[Table]:
    started = time.perf_counter()
    print(f"… {name}", file=sys.stderr, flush=True)
    try:
        async with asyncio.timeout(_SECTION_SECONDS):
            tables = await SECTIONS[name](bench)
    except Exception as error:
        traceback.print_exc()
        bench.failures.append(f"The section “{name}” failed: {error!r}")
        return []
    for table in tables:
        report.show(table)
    print(f"  ({name}: {time.perf_counter() - started:.0f} s)", file=sys.stderr, flush=True)
    return tables


async def _run(arguments: argparse.Namespace, work: Path) -> int:
    main = asyncio.current_task()
    assert main is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, main.cancel)
    bench = Bench(work, quick=arguments.quick)
    if arguments.rounds:
        bench.rounds = arguments.rounds
    tables: list[Table] = []
    with_peers = [name for name in arguments.only if name in _WITH_PEERS]
    if with_peers and not arguments.no_peers:
        print("… the peers: environments, servers, workers", file=sys.stderr, flush=True)
        async with peers(bench):
            for name in with_peers:
                tables += await _section(bench, name)
    for name in arguments.only:
        if arguments.no_peers or name not in with_peers:
            tables += await _section(bench, name)
    for missing in bench.missing:
        print(f"Did not run: {missing}", file=sys.stderr)
    for failure in bench.failures:
        print(failure, file=sys.stderr)
    return 1 if bench.failures else 0


def main() -> int:
    arguments = _arguments()
    adopt_orphans()
    # On a real disk: /tmp may lie in memory, where fsync costs nothing.
    place = Path("/var/tmp")
    work = Path(tempfile.mkdtemp(prefix="aiohttp-jobs-bench-", dir=place if place.is_dir() else None))
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
