"""arq on Redis, with its delay between polls (0.5 s by default) tuned down."""

from __future__ import annotations

from typing import Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.constants import default_queue_name

from .driver import KEEP_SECONDS, PARALLEL, REDIS, WAIT_SECONDS, System, at_once, drive, run_command


async def command(_context: Any) -> str:
    return await run_command()


async def python(_context: Any) -> bool:
    return True


class WorkerSettings:
    functions = (command, python)
    redis_settings = RedisSettings.from_dsn(f"{REDIS}/1")
    max_jobs = PARALLEL
    poll_delay = 0.01
    keep_result = KEEP_SECONDS


class Arq(System):
    packages = ("arq", "redis")
    durability = "Redis, appendonly, fsync every second"
    worker = ("-m", "arq", "benchmarks.peers.arq.WorkerSettings")
    _redis: ArqRedis

    async def open(self) -> None:
        self._redis = await create_pool(WorkerSettings.redis_settings)

    async def enqueue(self, kind: str, count: int) -> None:
        await at_once(count, lambda: self._redis.enqueue_job(kind))

    async def are_done(self, jobs: None) -> bool:
        # A job leaves the queue in the transaction that stores its result.
        return not await self._redis.zcard(default_queue_name)

    async def one(self, kind: str) -> None:
        job = await self._redis.enqueue_job(kind)
        await job.result(poll_delay=WAIT_SECONDS)


if __name__ == "__main__":
    drive(Arq())
