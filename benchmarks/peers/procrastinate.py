"""procrastinate on PostgreSQL. It keeps no return values, so its tasks write theirs to a table."""

from __future__ import annotations

import asyncio

import procrastinate

from .driver import AT_A_TIME, PARALLEL, POSTGRES, WAIT_SECONDS, System, drive, run_command

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=POSTGRES, min_size=2, max_size=PARALLEL + 2)
)
_KEEP = "INSERT INTO bench_results (job_id, output) VALUES (%(job_id)s, %(output)s)"
_LEFT = "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
_STATUS = "SELECT status FROM procrastinate_jobs WHERE id = %(job_id)s"


@app.task(name="command", pass_context=True)
async def command(context: procrastinate.JobContext) -> None:
    await app.connector.execute_query_async(_KEEP, job_id=context.job.id, output=await run_command())


@app.task(name="python", pass_context=True)
async def python(context: procrastinate.JobContext) -> None:
    await app.connector.execute_query_async(_KEEP, job_id=context.job.id, output="")


_TASKS = {"command": command, "python": python}


class Procrastinate(System):
    packages = ("procrastinate", "psycopg")
    durability = "PostgreSQL, every commit on disk"
    worker = (
        *("-m", "procrastinate", "--app", "benchmarks.peers.procrastinate.app"),
        *("worker", "--concurrency", AT_A_TIME),
    )

    async def open(self) -> None:
        await app.open_async()
        await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async(
            "CREATE TABLE bench_results (job_id bigint PRIMARY KEY, output text NOT NULL)"
        )

    async def enqueue(self, kind: str, count: int) -> None:
        await _TASKS[kind].batch_defer_async(*({} for _ in range(count)))

    async def are_done(self, jobs: None) -> bool:
        return not (await app.connector.execute_query_one_async(_LEFT))["jobs"]

    async def one(self, kind: str) -> None:
        job_id = await _TASKS[kind].defer_async()
        while True:
            row = await app.connector.execute_query_one_async(_STATUS, job_id=job_id)
            if row["status"] == "succeeded":
                return
            await asyncio.sleep(WAIT_SECONDS)


if __name__ == "__main__":
    drive(Procrastinate())
