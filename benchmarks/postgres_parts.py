"""What each thing that a worker asks costs PostgreSQL: of its processor, by the real statements, many times.

For the model of docs/explanation/scale.md. Run it beside an idle server, on the server's machine:

    python -m benchmarks.postgres_parts --dsn postgresql://… [--times 300]

The role of the `dsn` has to be allowed to make databases; the one that it makes is dropped at the end.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from aiohttp_jobs.engine.base import Limits, MostWaiting
from aiohttp_jobs.engine.postgres.installation import PostgresInstallation
from aiohttp_jobs.engine.postgres.jobs import Claim, JobTable
from aiohttp_jobs.engine.postgres.migrations import upgrade_schema
from aiohttp_jobs.engine.postgres.output_chunks import OutputChunks
from aiohttp_jobs.model.job import ExecutionMode, Submission, utc_now
from aiohttp_jobs.model.output import OutputPart

from .ours import process_seconds

_NAME = "bench_parts"
_LISTENERS = (0, 50, 200)
_AT_ONCE_SECONDS = 3.0
_NO_LIMIT = MostWaiting(1_000_000, 1 << 40)
_LIMITS = Limits({ExecutionMode.BACKGROUND_JOB: 1})


# A thousand that live, with sixteen jobs each.
_MANY_WORKERS = """
INSERT INTO aiohttp_jobs.processes (process_id, kind, heard_at)
SELECT md5('worker ' || n)::uuid, 'worker', clock_timestamp() + interval '1 hour'
FROM generate_series(1, 1000) n
"""
_MANY_JOBS = """
INSERT INTO aiohttp_jobs.jobs (job_id, state, user_id, job_name, slot, priority, size, attempt, submission,
    process_id, claim_id, started_at)
SELECT gen_random_uuid(), 'running', 'user' || n % 100, 'name', 'BackgroundJob', 5, 10, 1, '{}',
    md5('worker ' || 1 + n % 1000)::uuid, gen_random_uuid(), clock_timestamp()
FROM generate_series(1, 16000) n
"""


class Parts:
    """The statements of one process, and what a server at the other end of `probe` spends on them."""

    def __init__(self, dsn: str, times: int) -> None:
        self._times = times
        self.installation = PostgresInstallation(
            dsn, b"secret of the benchmark, in 32 bytes", session_max_age=60, max_sessions_per_user=1
        )
        self.installation.open()
        presence = self.installation.presence
        self._presence = presence
        signer = self.installation.signer("submission")
        self.table = JobTable(self.installation.database, presence.process_id, signer, 30)
        self._chunks = OutputChunks(self.installation.database, presence.process_id, 1 << 24)
        self.probe = psycopg.connect(dsn, autocommit=True)
        server = psutil.Process(self.probe.info.backend_pid).parent()
        assert server is not None
        self._server = server

    def close(self) -> None:
        self.probe.close()
        self.installation.close()

    def _spent(self) -> float:
        return sum(process_seconds(each.pid) for each in (self._server, *self._server.children()))

    def measure(self, name: str, ask: Callable[[], object], times: int | None = None) -> None:
        """Print what `ask` takes, after one that is not counted: which makes connections, and plans."""
        times = times or self._times
        ask()
        before, started = self._spent(), time.perf_counter()
        for _ in range(times):
            ask()
        waited = (time.perf_counter() - started) / times
        print(f"{name:44} {(self._spent() - before) / times * 1e3:8.3f} {waited * 1e3:8.3f}", flush=True)

    def all(self) -> None:
        """The table."""
        print(f"{'ms each':44} {'server':>8} {'waited':>8}")
        table = self.table
        self.measure("sign of life", self._presence.be_heard)
        self.measure("look at what one holds", lambda: table.ask(table.to_see_held()))
        self.measure("look for jobs of the dead", lambda: table.ask(table.to_take_lost()))
        self.measure("claim, and nothing waits", self.claim)
        self.measure("a commit of one row, for comparison", self._commit)
        self.measure("submit", self.submit)
        claims: list[Claim] = []
        self.measure("claim one", lambda: claims.extend(self.claim()), self._times - 2)
        held = claims[0]
        parts = iter(range(1_000_000))
        data = bytes(65536)

        def put() -> None:
            at = 65536 * next(parts)
            self._chunks.put(held, 1, OutputPart(at, data), tell=["output"])

        self.measure("64 KB of output, and tell of it", put, 200)
        self.measure("give back", lambda: table.give_back(claims.pop()), len(claims) - 2)

    def among_many(self) -> None:
        """What looks at others costs where there are a thousand of them, with sixteen jobs each."""
        self.probe.execute(_MANY_WORKERS)
        self.probe.execute(_MANY_JOBS)
        take_lost = self.table.to_take_lost()
        self.measure("look for jobs of the dead, among 16,000", lambda: self.table.ask(take_lost), 20)
        self.measure("claim, and nothing waits, among 16,000", self.claim, 50)
        self.measure("sign of life, among 1,000", self._presence.be_heard)

    def notices(self, dsn: str, stack: ExitStack) -> None:
        """What telling costs with so many processes that listen, and are told of nothing by this program."""
        listeners: list[psycopg.Connection[Any]] = []
        for count in _LISTENERS:
            while len(listeners) < count:
                listeners.append(stack.enter_context(psycopg.connect(dsn, autocommit=True)))
                listeners[-1].execute("LISTEN aiohttp_jobs")
            self.measure(f"tell, and {count} listen", lambda: self.table.say("job", str(uuid.uuid4())), 100)

    def at_once(self, dsn: str) -> None:
        """Print how often eight sessions commit, and eight that tell of something as they do."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS aiohttp_jobs.bench_rows AS SELECT generate_series(0, 7) n"
            )
        for name, told in (("that tell nothing", ""), ("that tell", ", pg_notify('aiohttp_jobs', n::text)")):
            update = f"UPDATE aiohttp_jobs.bench_rows SET n = n WHERE n = %s RETURNING n{told}".encode()

            def session(number: int, update: bytes = update) -> int:
                done, end = 0, time.monotonic() + _AT_ONCE_SECONDS
                with psycopg.connect(dsn, autocommit=True) as connection:
                    while time.monotonic() < end:
                        connection.execute(update, (number,))
                        done += 1
                return done

            with ThreadPoolExecutor(8) as threads:
                done = sum(threads.map(session, range(8)))
            print(f"{'commits a second, 8 at once, ' + name:44} {done / _AT_ONCE_SECONDS:8.0f}", flush=True)

    def claim(self) -> list[Claim]:
        free = {str(ExecutionMode.BACKGROUND_JOB): 1}
        return self.table.ask(self.table.to_claim(free, _LIMITS, 600, uuid.uuid4())).claims

    def submit(self) -> None:
        submission = Submission(
            job_id=str(uuid.uuid4()),
            user_id="bench",
            session_id="bench",
            job_name="bench",
            command="/bin/true",
            execution_mode=ExecutionMode.BACKGROUND_JOB,
            roles=("debug",),
            submitted_at=utc_now(),
        )
        self.table.submit(submission, _NO_LIMIT, only_here=False)

    def _commit(self) -> None:
        self.probe.execute("UPDATE aiohttp_jobs.installation SET is_paused = is_paused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--times", type=int, default=300)
    given = parser.parse_args()
    dsn = make_conninfo(given.dsn, dbname=_NAME)
    with psycopg.connect(given.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {_NAME}".encode())
        connection.execute(f"CREATE DATABASE {_NAME}".encode())
        try:
            upgrade_schema(dsn)
            parts = Parts(dsn, given.times)
            with ExitStack() as stack:
                stack.callback(parts.close)
                parts.all()
                parts.at_once(dsn)
                parts.among_many()
                parts.notices(dsn, stack)
        finally:
            connection.execute(f"DROP DATABASE {_NAME} WITH (FORCE)".encode())


if __name__ == "__main__":
    main()
