"""What each way of starting a job's process costs: many of them through the BackgroundJob mode, in turn.

Run as ``python -m benchmarks.process_ways '<JSON>'``, with the loop, the rounds and the processes of each.
Prints a JSON list of what `Cost` holds. Nothing is stored or synced; what a job costs besides, other sections
measure.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp_jobs.model.job import InterpreterName
from aiohttp_jobs.worker.background import BackgroundExecutor
from aiohttp_jobs.worker.base import WORK, Execution
from aiohttp_jobs.worker.interpreters import find_interpreters
from aiohttp_jobs.worker.output.log import OutputLog
from aiohttp_jobs.worker.process.starting import Start, start_with_asyncio, start_with_popen


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process, in milliseconds: by the clock, of the host's processor time, and of the child's."""

    way: str
    parallel: int
    wall: float
    host: float
    child: float


WAYS: dict[str, Start] = {"create_subprocess_exec": start_with_asyncio, "Popen": start_with_popen}


async def _round(way: str, count: int, parallel: int, folder: Path) -> Cost:
    executor = BackgroundExecutor(find_interpreters(), 1.0, start=WAYS[way])
    limit = asyncio.Semaphore(parallel)

    async def one(number: int) -> None:
        log = OutputLog(folder / f"log-{number}", 1024)
        job = Execution("id", "bench", "/bin/true", InterpreterName.SHELL, str(folder), {}, log)
        async with limit:
            assert (await executor.run(job)).exit_code == 0

    own, children, started = _cpu(resource.RUSAGE_SELF), _cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(count)))
    seconds = (
        time.perf_counter() - started,
        _cpu(resource.RUSAGE_SELF) - own,
        _cpu(resource.RUSAGE_CHILDREN) - children,
    )
    await executor.close()
    return Cost(way, parallel, *(each * 1000 / count for each in seconds))


def _cpu(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


async def _measure(rounds: int, count: int) -> list[Cost]:
    costs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / WORK).mkdir()
        for way in WAYS:
            await _round(way, 8, 8, folder)
        for number in range(rounds):
            for parallel in (1, 8):
                for way in sorted(WAYS, reverse=bool(number % 2)):
                    costs.append(await _round(way, count, parallel, folder))
    return costs


def main() -> None:
    asked = json.loads(sys.argv[1])
    factory = None
    if asked["uvloop"]:
        import uvloop  # noqa: PLC0415

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        costs = runner.run(_measure(asked["rounds"], asked["count"]))
    print(json.dumps([asdict(cost) for cost in costs]))


if __name__ == "__main__":
    main()
