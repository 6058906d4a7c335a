"""The submit endpoint: concurrent durable submits, against a handler that only writes and fsyncs."""

from __future__ import annotations

import json
import time

from ..bench import Bench
from ..ours import API, COMMAND, HostProcess
from ..tables import Kind, Table
from ..wire import Connection, share

FLOOR, OURS = "handler that writes and fsyncs", "POST /jobs/submit"
CLIENTS = 32


async def measure(bench: Bench) -> list[Table]:
    count = bench.size(800, 200)
    table = Table(
        "submit",
        f"Submit endpoint: {count} durable submits, {CLIENTS} at once",
        "Requests per second of the same client. The yardstick is an aiohttp handler that writes a body "
        "of the same size as the submission file to a new file and fsyncs it, in a thread. The queue is "
        "paused, so that nothing runs meanwhile.",
        "requests/s",
        more_is_better=True,
    )
    async with bench.host("submit") as host:
        await host.embedded("fill", job=COMMAND, count=1)
        written = json.dumps({"data": "x" * _file_size(host, bench)}).encode()
        submitted = json.dumps(COMMAND).encode()
        connections = await host.connections(CLIENTS)
        await _requests(connections, "/bench/write", written, CLIENTS)
        await _requests(connections, API + "/jobs/submit", submitted, CLIENTS)
        for _ in range(bench.rounds):
            table.note(FLOOR, Kind.FLOOR, await _requests(connections, "/bench/write", written, count))
            ours = await _requests(connections, API + "/jobs/submit", submitted, count)
            table.note(OURS, Kind.OURS, ours)
        for connection in connections:
            await connection.close()
    ratio = table.ratio(table.contender(OURS, Kind.OURS)).median
    table.ask("at least 0.5 of such a handler", f"{ratio:.2f}", ratio >= 0.5)
    return [table]


def _file_size(host: HostProcess, bench: Bench) -> int:
    folders = sorted(bench.work.glob("submit-*"))
    files = [path for path in folders[-1].rglob("JobSubmission/**/*") if path.is_file()]
    return files[0].stat().st_size if files else 700


async def _requests(connections: list[Connection], path: str, body: bytes, count: int) -> float:
    async def one(connection: Connection) -> None:
        status, text = await connection.ask("POST", path, body)
        if status >= 400:
            raise RuntimeError(f"{path} was answered with {status}: {text.decode()[:300]}")

    started = time.perf_counter()
    await share(connections, count, one)
    return count / (time.perf_counter() - started)
