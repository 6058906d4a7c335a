"""Brings the peers up: environments and servers first, all at the same time, then their processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ..bench import Bench
from ..processes import AnsweringProcess
from .environments import REQUIREMENTS, ensure, interpreter
from .process import Peer
from .servers import Redis, ensure_redis, start_postgres

_NEEDS_REDIS = ("SAQ", "arq", "taskiq", "Celery")
_INSTALLS_AT_ONCE = 3
_FAULTS = (RuntimeError, OSError, TimeoutError)


@asynccontextmanager
async def peers(bench: Bench) -> AsyncIterator[None]:
    """All peers that can be had are in ``bench.peers``, frozen; why others are not, in ``bench.missing``."""
    async with AsyncExitStack() as stack:
        names = await _prepare(bench)
        variables = await _servers(bench, stack, names)
        started = await asyncio.gather(*(_start(bench, stack, name, variables) for name in names))
        bench.peers = [peer for peer in started if peer is not None]
        bench.versions |= {peer.name: f"({peer.version}): {peer.durability}" for peer in bench.peers}
        yield
        bench.peers = []


@asynccontextmanager
async def procrastinate_on(bench: Bench, dsn: str) -> AsyncIterator[Peer | None]:
    """procrastinate alone, frozen, on a database that is there; ``None``, and why, where it cannot be had."""
    async with AsyncExitStack() as stack:
        variables = {"BENCH_FOLDER": str(bench.folder("procrastinate")), "BENCH_POSTGRES": dsn}
        yield await _start(bench, stack, "procrastinate", variables)


async def _prepare(bench: Bench) -> list[str]:
    """Make environments and install redis-server; the peers that have what they need."""
    limit = asyncio.Semaphore(_INSTALLS_AT_ONCE)

    async def attempt(what: Callable[[], None], without: str) -> bool:
        try:
            async with limit:
                await asyncio.to_thread(what)
        except _FAULTS as error:
            bench.missing.append(f"{without}: {error}")
            return False
        return True

    redis, *made = await asyncio.gather(
        attempt(ensure_redis, ", ".join(_NEEDS_REDIS)),
        *(attempt(lambda name=name: ensure(name), name) for name in REQUIREMENTS),  # type: ignore[misc]
    )
    present = [name for name, is_made in zip(REQUIREMENTS, made, strict=True) if is_made]
    return [name for name in present if redis or name not in _NEEDS_REDIS]


async def _servers(bench: Bench, stack: AsyncExitStack, names: list[str]) -> Mapping[str, str]:
    folder = bench.folder("servers")
    variables = {"BENCH_FOLDER": str(folder)}
    if set(names) & set(_NEEDS_REDIS):
        redis = await Redis.start(folder / "redis")
        stack.push_async_callback(redis.stop)
        variables["BENCH_REDIS"] = redis.url
        bench.versions["redis-server"] = redis.version
    if "procrastinate" in names:
        for parent in (bench.work, folder):
            parent.chmod(0o755)  # when we are root, PostgreSQL runs as another user
        postgres = await start_postgres(folder / "postgres")
        stack.push_async_callback(postgres.stop)
        variables["BENCH_POSTGRES"] = postgres.hello["uri"]
        bench.versions["PostgreSQL"] = postgres.hello["version"]
    return variables


async def _start(bench: Bench, stack: AsyncExitStack, name: str, variables: Mapping[str, str]) -> Peer | None:
    arguments: list[str | Path] = [interpreter(name), "-m", f"benchmarks.peers.{name.lower()}"]
    log = Path(variables["BENCH_FOLDER"]) / f"{name}.log"
    try:
        process = await AnsweringProcess.start(arguments, log, variables)
    except _FAULTS as error:
        bench.failures.append(f"{name} did not start: {error}")
        return None
    stack.push_async_callback(process.stop)
    process.freeze()
    return Peer(name, process.hello["version"], process.hello["durability"], process)
