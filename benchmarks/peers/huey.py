"""huey on SQLite, each write on disk, and its delay between polls tuned down."""

from __future__ import annotations

import os

import huey

from .driver import AT_A_TIME, FOLDER, WAIT_SECONDS, System, drive, run_command_blocking

queue = huey.SqliteHuey("bench", filename=os.path.join(FOLDER, "huey.db"), fsync=True)


@queue.task()
def command() -> str:
    return run_command_blocking()


@queue.task()
def python() -> bool:
    return True


_TASKS = {"command": command, "python": python}


class Huey(System):
    packages = ("huey",)
    durability = "SQLite, every commit on disk"
    worker = (
        *("-m", "huey.bin.huey_consumer", "benchmarks.peers.huey.queue", "--quiet"),
        *("--workers", AT_A_TIME, "--delay", "0.01", "--max-delay", "0.01"),
    )

    async def open(self) -> None:
        self._kept = int(queue.result_count())

    async def enqueue(self, kind: str, count: int) -> int:
        for _ in range(count):
            _TASKS[kind]()
        self._kept += count
        return self._kept

    async def are_done(self, jobs: int) -> bool:
        return bool(queue.result_count() >= jobs)

    async def one(self, kind: str) -> None:
        result = _TASKS[kind]()
        result.get(blocking=True, timeout=60, backoff=1, max_delay=WAIT_SECONDS, preserve=True)
        self._kept += 1


if __name__ == "__main__":
    # Tasks are known by their module's name, which has to be the worker's.
    from benchmarks.peers.huey import Huey as Imported

    drive(Imported())
