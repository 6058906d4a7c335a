"""This package as the benchmark uses it: a host process, and its API over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Self

import psutil

from .processes import AnsweringProcess, module
from .wire import Connection, share

PREFIX = "/apps/WebHostTaskManagement"
API = PREFIX + "/api/v1"
SUBMITTERS = 16
_LOOK_SECONDS = 0.005
_READY_SECONDS = 300.0
_PAUSE_SECONDS = 0.4
_IDLE_SHARE = 0.02
_QUIET_SECONDS = 60.0

COMMAND = {"jobName": "bench", "command": "/bin/true", "executionMode": "BackgroundJob"}
PYTHON = {"jobName": "bench", "command": "pass", "executionMode": "Runspace", "interpreter": "python"}
FUNCTION, COROUTINE = {"function": "nothing"}, {"function": "nothing_on_the_loop"}


class HostProcess:
    """A host that runs, with one connection to it."""

    def __init__(self, process: AnsweringProcess, connection: Connection) -> None:
        self.process = process
        self.port = int(process.hello["port"])
        self.secret = str(process.hello["secret"])
        self.ready_seconds = float(process.hello["ready"])
        self.connection = connection

    @classmethod
    async def start(
        cls,
        data_dir: Path,
        *,
        plugin: bool = True,
        uvloop: bool = False,
        functions: bool = False,
        **settings: Any,
    ) -> Self:
        asked = {
            "data_dir": str(data_dir),
            "plugin": plugin,
            "uvloop": uvloop,
            "functions": functions,
            "settings": settings,
        }
        data_dir.mkdir(parents=True, exist_ok=True)
        process = await AnsweringProcess.start(module("host", json.dumps(asked)), data_dir / "host.log")
        connection = await Connection.open(int(process.hello["port"]), str(process.hello["secret"]))
        return cls(process, connection)

    async def stop(self) -> None:
        await self.connection.close()
        await self.process.stop()

    def rss(self) -> int:
        """Bytes of memory of the host's own process, without those it started."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def children_memory(self) -> int:
        """Bytes that the processes it started have for themselves."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return sum(int(child.memory_full_info().uss) for child in children)

    def children_count(self) -> int:
        return len(psutil.Process(self.process.pid).children())

    def cpu_seconds(self) -> float:
        """What the host and all its children have used so far."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return sum(map(process_seconds, (self.process.pid, *(child.pid for child in children))))

    def own_cpu_seconds(self) -> float:
        """What the host's own process has used so far, without those it started."""
        return process_seconds(self.process.pid)

    async def quiet(self) -> None:
        """Wait until none of its processes does anything: a spare waits, the next runspace is open."""
        until = time.monotonic() + _QUIET_SECONDS
        await asyncio.sleep(_PAUSE_SECONDS)  # a spare is started a little after the last one was taken
        used = self.cpu_seconds()
        while time.monotonic() < until:
            await asyncio.sleep(_PAUSE_SECONDS)
            if (now := self.cpu_seconds()) - used < _IDLE_SHARE * _PAUSE_SECONDS:
                return
            used = now

    async def connections(self, count: int) -> list[Connection]:
        return [await Connection.open(self.port, self.secret) for _ in range(count)]

    # --- through the host's own code

    async def embedded(self, what: str, **asked: Any) -> Any:
        """``run``, ``one_by_one``, ``fill`` or ``drain`` of ``host.Embedded``."""
        return (await self.connection.json("POST", f"/bench/{what}", asked)).get("seconds")

    # --- over HTTP

    async def submit(self, job: dict[str, Any], connection: Connection | None = None) -> str:
        answer = await (connection or self.connection).json("POST", *_request(job))
        return str(answer["jobId"])

    async def run_over_http(self, job: dict[str, Any], count: int) -> float:
        """Submit many jobs at once; seconds from the first request to the last readable result."""
        connections = await self.connections(SUBMITTERS)
        started = time.perf_counter()
        ids = await share(connections, count, lambda connection: self.submit(job, connection))
        while True:
            queue = await self.connection.json("GET", API + "/queue")
            queue = queue.get("queue", queue)
            if not queue["queued"] and not queue["running"]:
                seconds = time.perf_counter() - started
                # The clock does not count this look, unless one was still on its way.
                if await self._are_readable(ids):
                    break
            await asyncio.sleep(_LOOK_SECONDS)
        for connection in connections:
            await connection.close()
        return seconds

    async def _are_readable(self, ids: list[str]) -> bool:
        for job_id in ids:
            if (await self.connection.ask("GET", f"{API}/results/{job_id}"))[0] != 200:
                return False
        return True

    async def ping(self, connection: Connection) -> float:
        """Seconds of one request to the host's trivial route."""
        started = time.perf_counter()
        await connection.ask("GET", "/ping")
        return time.perf_counter() - started


def _request(job: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Where `job`, a command or ``{"function": its name}``, is submitted, and with which body."""
    if (name := job.get("function")) is None:
        return f"{API}/jobs/submit", job
    return f"{API}/functions/{name}/run", {"values": {}}


def process_seconds(pid: int) -> float:
    """What the threads of a process have used of the processor so far."""
    # Not psutil's `cpu_times`, which counts in hundredths of a second.
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


async def submit_and_wait(connection: Connection, job: dict[str, Any]) -> float:
    """Seconds from submitting a job over HTTP until its result has come."""
    started = time.perf_counter()
    path, body = _request(job)
    answer = await connection.json("POST", f"{path}?wait=60", body)
    seconds = time.perf_counter() - started
    if not answer["result"]["Success"]:
        raise RuntimeError(f"a job did not succeed: {answer}")
    return seconds


async def submit_and_watch(submitting: Connection, watching: Connection, job: dict[str, Any]) -> float:
    """Seconds from submitting a job over HTTP until its stream tells of its end, the result readable."""
    started = time.perf_counter()
    job_id = (await submitting.json("POST", API + "/jobs/submit", job))["jobId"]
    watching.send("GET", f"{API}/jobs/{job_id}/events")
    status, _ = await watching.head()
    if status != 200:
        raise RuntimeError(f"the event stream was answered with {status}")
    await watching.reader.readuntil(b"event: end")
    seconds = time.perf_counter() - started
    await watching.reader.readuntil(b"0\r\n\r\n")
    return seconds
