"""How our Runspace workers compare with pebble's process pool: round trips of a trivial job.

Run with ``python benchmarks/runspace_pool.py`` where pebble is installed. Prints medians of five
interleaved rounds, and the ratio; pebble is the yardstick. Ours also catches output at the file
descriptors and writes the command to a file, which pebble's task does not.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

from pebble import ProcessPool

from aiohttp_jobs.config import JobsConfig
from aiohttp_jobs.model.job import InterpreterName
from aiohttp_jobs.worker.base import WORK, Execution
from aiohttp_jobs.worker.interpreters import find_interpreters
from aiohttp_jobs.worker.output.log import OutputLog
from aiohttp_jobs.worker.runspace import RunspaceExecutor
from aiohttp_jobs.worker.workspace import base_environment

ROUNDS, JOBS, WORKERS = 5, 300, 2


def trivial(source: str) -> int:
    exec(source, {})
    return 0


def pebble_round(pool: ProcessPool) -> float:
    started = time.perf_counter()
    for _ in range(JOBS):
        pool.schedule(trivial, args=("pass",)).result()
    return (time.perf_counter() - started) / JOBS


async def own_round(executor: RunspaceExecutor, folder: Path) -> float:
    started = time.perf_counter()
    for _ in range(JOBS):
        log = OutputLog(folder / "log", 1024)
        job = Execution("id", "alice", "pass", InterpreterName.PYTHON, str(folder), {}, log)
        assert (await executor.run(job)).exit_code == 0
    return (time.perf_counter() - started) / JOBS


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = base_environment(JobsConfig(data_dir=folder), "bench")
        own = RunspaceExecutor(find_interpreters(), size=WORKERS, environment=environment, kill_grace=1)
        (folder / WORK).mkdir()
        await own.open()
        with ProcessPool(WORKERS, context=multiprocessing.get_context("forkserver")) as pool:
            await own_round(own, folder)
            pebble_round(pool)
            rounds = [(await own_round(own, folder), pebble_round(pool)) for _ in range(ROUNDS)]
            pool.stop()  # type: ignore[no-untyped-call]
        await own.close()
    ours, theirs = (statistics.median(times) * 1000 for times in zip(*rounds, strict=True))
    ratios = sorted(mine / other for mine, other in rounds)
    print(f"round trip: ours {ours:.3f} ms, pebble {theirs:.3f} ms")
    print(f"ours / pebble: median {statistics.median(ratios):.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
