"""taskiq on Redis streams, the broker of its that acknowledges."""

from __future__ import annotations

from redis.asyncio import Redis
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from .driver import AT_A_TIME, KEEP_SECONDS, REDIS, WAIT_SECONDS, System, at_once, drive, run_command

_URL = f"{REDIS}/2"
broker = RedisStreamBroker(_URL).with_result_backend(
    RedisAsyncResultBackend(_URL, result_ex_time=KEEP_SECONDS)
)


@broker.task(task_name="command")
async def command() -> str:
    return await run_command()


@broker.task(task_name="python")
async def python() -> bool:
    return True


_TASKS = {"command": command, "python": python}


class Taskiq(System):
    packages = ("taskiq", "taskiq-redis", "redis")
    durability = "Redis, appendonly, fsync every second"
    worker = (
        *("-m", "taskiq", "worker", "benchmarks.peers.taskiq:broker"),
        *("--workers", "1", "--max-async-tasks", AT_A_TIME),
    )

    async def open(self) -> None:
        await broker.startup()
        self._redis = Redis.from_url(_URL)

    async def enqueue(self, kind: str, count: int) -> list[str]:
        return [task.task_id for task in await at_once(count, _TASKS[kind].kiq)]

    async def are_done(self, jobs: list[str]) -> bool:
        return bool(await self._redis.exists(*jobs) == len(jobs))

    async def one(self, kind: str) -> None:
        task = await _TASKS[kind].kiq()
        await task.wait_result(check_interval=WAIT_SECONDS)


if __name__ == "__main__":
    drive(Taskiq())
