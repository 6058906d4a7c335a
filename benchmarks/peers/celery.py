"""Celery on Redis: acknowledged late, results kept, short tasks prefetched as its guide advises."""

from __future__ import annotations

import celery

from .driver import AT_A_TIME, KEEP_SECONDS, REDIS, System, drive, run_command_blocking

app = celery.Celery("bench", broker=f"{REDIS}/3", backend=f"{REDIS}/3")
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_expires=KEEP_SECONDS,
    task_acks_late=True,
    worker_prefetch_multiplier=16,
)


@app.task(name="command")
def command() -> str:
    return run_command_blocking()


@app.task(name="python")
def python() -> bool:
    return True


_TASKS = {"command": command, "python": python}


class Celery(System):
    packages = ("celery", "redis")
    durability = "Redis, appendonly, fsync every second"
    worker = (
        *("-m", "celery", "--app", "benchmarks.peers.celery:app", "worker", "--concurrency", AT_A_TIME),
        *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
    )

    async def open(self) -> None:
        app.connection_for_write().ensure_connection(max_retries=3)

    async def enqueue(self, kind: str, count: int) -> list[bytes]:
        jobs = celery.group(_TASKS[kind].s() for _ in range(count)).apply_async()
        return [app.backend.get_key_for_task(job.id) for job in jobs.results]

    async def are_done(self, jobs: list[bytes]) -> bool:
        return bool(app.backend.client.exists(*jobs) == len(jobs))

    async def one(self, kind: str) -> None:
        _TASKS[kind].delay().get(timeout=60)


if __name__ == "__main__":
    drive(Celery())
