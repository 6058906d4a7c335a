"""python -m tests.torture [--short] [--only GROUP [--seed N]]: see docs/explanation/durability.md."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

from . import power, strace
from .groups import Group, all_groups
from .report import Report
from .scenario import Scenario
from .strace import counting, steps

_REFERENCE_SECONDS = 4.0
_SCENARIO_SECONDS = 400.0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--short", action="store_true", help="about a minute, for every change")
    parser.add_argument("--only", metavar="GROUP", help="one group; with --seed one scenario of it")
    parser.add_argument("--seed", type=int, help="decides what happens; it is printed")
    parser.add_argument("--minutes", type=float, help="start no scenario after so many (14; short: 1)")
    parser.add_argument("--at-once", type=int, default=2, help="scenarios at the same time")
    return parser.parse_args()


async def reference() -> dict[str, list[strace.Step]]:
    """The steps of a host that lives for some seconds and nothing is done to."""
    folder = Path(tempfile.mkdtemp(prefix="aiohttp-jobs-torture-reference-"))
    scenario = Scenario("reference", 0, folder)
    try:
        load = await scenario.open()
        load.start()
        host = await scenario.start(counting(folder / "steps"))
        await host.died_within(_REFERENCE_SECONDS)
        await load.stop()
        await host.stop()
    finally:
        await scenario.close()
    found = steps(folder / "steps")
    scenario.forget_files()
    return found


async def run_one(group: Group, seed: int, report: Report) -> None:
    """One scenario from its beginning to its line in `report`; its files are kept if it failed."""
    folder = Path(tempfile.mkdtemp(prefix=f"aiohttp-jobs-torture-{group.name}-"))
    scenario = Scenario(group.name, seed, folder)
    try:
        async with asyncio.timeout(_SCENARIO_SECONDS):
            await group.run(scenario)
            await scenario.judge()
    except Exception as error:
        scenario.findings.faults.append("".join(traceback.format_exception(error))[-1500:])
    finally:
        await scenario.close()
    report.add(group, seed, scenario)
    if not list(scenario.findings):
        scenario.forget_files()


async def run_all(chosen: list[tuple[Group, int]], report: Report, at_once: int, minutes: float) -> None:
    """`at_once` scenarios at a time, until all are done or the time is over."""
    queue = list(reversed(chosen))
    deadline = time.monotonic() + 60 * minutes

    async def work() -> None:
        while queue and time.monotonic() < deadline:
            await run_one(*queue.pop(), report)

    await asyncio.gather(*(work() for _ in range(at_once)))
    report.not_started = len(queue)


def missing_needs() -> dict[str, str]:
    """What groups need that is not here, and a sentence about each."""
    found = {} if strace.is_usable() else {"strace": strace.NEEDS}
    return found if power.is_usable() else {**found, "disk": power.NEEDS}


def chosen_scenarios(options: argparse.Namespace, groups: list[Group], seed: int) -> list[tuple[Group, int]]:
    """Which scenarios are to be run, those of all groups in turn, so that each has its share of the time."""
    if options.only:
        groups = [group for group in groups if group.name == options.only]
        if not groups:
            raise SystemExit(f"There is no group {options.only!r} that can be run here.")
        if options.seed is not None:
            return [(groups[0], seed)]
    count_of = {group.name: group.short if options.short else group.count for group in groups}
    most = max(count_of.values())
    return [(group, seed + turn) for turn in range(most) for group in groups if turn < count_of[group.name]]


async def main() -> int:
    options = parsed()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    missing = missing_needs()
    for sentence in missing.values():
        print(f"Some groups are left out: {sentence}.", flush=True)
    found = {} if "strace" in missing else await reference()
    groups = [group for group in all_groups(found) if group.needs not in missing]
    report = Report(groups)
    minutes = options.minutes or (1.0 if options.short else 14.0)
    await run_all(chosen_scenarios(options, groups, seed), report, options.at_once, minutes)
    print(report.table(), flush=True)
    return 0 if report.is_good() else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
    sys.exit(130)
