"""The side of a peer that runs in the peer's environment: submits jobs, and waits for their results.

Uses the standard library only. How each peer does it is left to the module of its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, TypeVar

T = TypeVar("T")

REDIS = os.environ.get("BENCH_REDIS", "redis://127.0.0.1:6379")
POSTGRES = os.environ.get("BENCH_POSTGRES", "")
FOLDER = os.environ.get("BENCH_FOLDER", ".")
PARALLEL = int(os.environ.get("BENCH_PARALLEL", "8"))
"""How many jobs a worker runs at a time."""
AT_A_TIME = "{parallel}"
"""Stands for that in the arguments of a `System.worker`."""
KEEP_SECONDS = 86400
LOOK_SECONDS = 0.005
"""Between two looks whether many jobs have ended; the same for aiohttp-jobs."""
WAIT_SECONDS = 0.002
"""Between two looks at one job, for the peers that cannot tell by themselves."""
_SUBMITTERS = 16
_READY_SECONDS = 60.0
_STOP_SECONDS = 3.0


async def run_command() -> str:
    """What an asynchronous task does: run the command and return its output."""
    process = await asyncio.create_subprocess_exec(
        "/bin/true", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}")
    return output.decode()


def run_command_blocking() -> str:
    """The same for peers whose tasks are plain functions."""
    return subprocess.run(
        ["/bin/true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    ).stdout.decode()


async def at_once(count: int, submit: Callable[[], Awaitable[T]]) -> list[T]:
    """`submit` `count` times, some at once, for peers without a way to enqueue many."""
    done: list[T] = []
    left = iter(range(count))

    async def submitter() -> None:
        for _ in left:
            done.append(await submit())

    await asyncio.gather(*(submitter() for _ in range(_SUBMITTERS)))
    return done


class System(ABC):
    """One peer. `worker` are the arguments for its interpreter that start its worker process, with
    `AT_A_TIME` for how many jobs that runs at a time, unless it reads `PARALLEL`.
    """

    packages: tuple[str, ...]
    durability: str
    worker: tuple[str, ...]

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def enqueue(self, kind: str, count: int) -> Any:
        """Enqueue many jobs of `kind`: ``command`` or ``python``. What `are_done` needs to know them by."""

    @abstractmethod
    async def are_done(self, jobs: Any) -> bool:
        """Whether all their results are readable, in the cheapest way there is."""

    @abstractmethod
    async def one(self, kind: str) -> None:
        """Enqueue one job and wait until its result is readable, the fastest documented way."""


async def _many(system: System, kind: str, count: int) -> float:
    started = time.perf_counter()
    jobs = await system.enqueue(kind, count)
    while not await system.are_done(jobs):
        await asyncio.sleep(LOOK_SECONDS)
    return time.perf_counter() - started


async def _one_by_one(system: System, kind: str, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        await system.one(kind)
        seconds.append(time.perf_counter() - started)
    return seconds


class Workers:
    """The worker processes of a system: one, unless another number is asked for."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._parallel = PARALLEL
        self._processes: list[asyncio.subprocess.Process] = []

    async def run_at_a_time(self, parallel: int) -> None:
        """Have one worker that runs so many jobs at a time. Returns when it does."""
        if parallel != self._parallel:
            await self.be(0)
            self._parallel = parallel
        await self.be(1)
        async with asyncio.timeout(_READY_SECONDS):
            for kind in ("command", "python"):
                await self._system.one(kind)
                await _many(self._system, kind, parallel)

    async def be(self, count: int) -> None:
        """Start or end some, so that there are `count`."""
        while len(self._processes) > count:
            await _end(self._processes.pop())
        while len(self._processes) < count:
            self._processes.append(
                await asyncio.create_subprocess_exec(
                    sys.executable,
                    *(each.replace(AT_A_TIME, str(self._parallel)) for each in self._system.worker),
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr,
                    env={**os.environ, "BENCH_PARALLEL": str(self._parallel)},
                )
            )

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]


async def _end(worker: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        worker.terminate()
        await asyncio.wait_for(worker.wait(), _STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        worker.kill()


async def _answer(system: System, workers: Workers, asked: dict[str, Any]) -> dict[str, Any]:
    if asked["do"] == "workers":
        await workers.be(asked["count"])
        return {"pids": workers.pids()}
    if asked["do"] == "at_a_time":
        await workers.run_at_a_time(asked["count"])
        return {}
    do = _many if asked["do"] == "many" else _one_by_one
    return {"seconds": await do(system, asked["kind"], asked["count"])}


async def _serve(system: System) -> None:
    await system.open()
    workers = Workers(system)
    try:
        await workers.run_at_a_time(PARALLEL)
        versions = ", ".join(f"{package} {version(package)}" for package in system.packages)
        _say({"version": versions, "durability": system.durability})
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                _say(await _answer(system, workers, json.loads(line)))
            except Exception as error:
                _say({"error": repr(error)})
    finally:
        await workers.be(0)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def drive(system: System) -> None:
    """Answer the benchmark's questions until stdin ends."""
    asyncio.run(_serve(system))
