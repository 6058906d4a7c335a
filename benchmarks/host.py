"""An aiohttp host in a process of its own: the plugin mounted, or without it, to compare with.

Run as ``python -m benchmarks.host '<JSON>'``. Its own routes below ``/bench`` do what a host's code
would do through `JobService`, and what the yardsticks do.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp_sse import sse_response

import aiohttp_jobs
from aiohttp_jobs import JobsConfig
from aiohttp_jobs.api.keys import SERVICE
from aiohttp_jobs.auth.api_keys import ApiKeys
from aiohttp_jobs.auth.identity import Identity
from aiohttp_jobs.errors import NotFoundError
from aiohttp_jobs.models import SubmitRequest
from aiohttp_jobs.service import JobService

ROLES = frozenset({"debug", "task_manager", "system_admin"})
USER = "bench"
_IDENTITY = Identity(USER, "bench", ROLES)
_LOOK_SECONDS = 0.005


class Embedded:
    """What the host's own code does with jobs, without HTTP."""

    def __init__(self, service: JobService) -> None:
        self._service = service
        self._waiting: list[str] = []

    async def run(self, request: web.Request) -> web.Response:
        """Submit many jobs at once; the seconds from the first to the last readable result."""
        asked = await request.json()
        job, count = SubmitRequest.model_validate(asked["job"]), asked["count"]
        started = time.perf_counter()
        ids = await asyncio.gather(*(self._submit(job) for _ in range(count)))
        await self._all_ended(ids)
        seconds = time.perf_counter() - started
        await self._check(ids)
        return web.json_response({"seconds": seconds})

    async def one_by_one(self, request: web.Request) -> web.Response:
        """Submit one job after the other; the seconds of each until its result is readable."""
        asked = await request.json()
        job, seconds = SubmitRequest.model_validate(asked["job"]), []
        for _ in range(asked["count"]):
            started = time.perf_counter()
            job_id = await self._submit(job)
            async for _event in await self._service.follow(_IDENTITY, job_id, (1, 0)):
                pass
            seconds.append(time.perf_counter() - started)
        return web.json_response({"seconds": seconds})

    async def fill(self, request: web.Request) -> web.Response:
        """Add jobs, and leave them waiting (the queue is paused)."""
        asked = await request.json()
        job, count = SubmitRequest.model_validate(asked["job"]), asked["count"]
        await self._service.set_paused(_IDENTITY, True)
        self._waiting += await asyncio.gather(*(self._submit(job) for _ in range(count)))
        return web.json_response({"waiting": len(self._waiting)})

    async def drain(self, request: web.Request) -> web.Response:
        """Let the first `count` of the waiting jobs run; the seconds until their results are readable."""
        count = (await request.json())["count"]
        ids, self._waiting = self._waiting[:count], self._waiting[count:]
        started = time.perf_counter()
        await self._service.set_paused(_IDENTITY, False)
        if self._waiting:
            await self._readable(ids[-1])
        else:
            await self._all_ended(ids)
        seconds = time.perf_counter() - started
        if self._waiting:
            await self._service.set_paused(_IDENTITY, True)
            while self._service.queue_view(_IDENTITY)["running"]:
                await asyncio.sleep(_LOOK_SECONDS)
            left = self._service.queue_view(_IDENTITY)["queued"]
            self._waiting = self._waiting[len(self._waiting) - left :]
        await self._check(ids)
        return web.json_response({"seconds": seconds})

    async def _submit(self, job: SubmitRequest) -> str:
        return (await self._service.submit(_IDENTITY, job)).job_id

    async def _all_ended(self, ids: list[str]) -> None:
        await self._readable(ids[-1])
        while True:
            queue = self._service.queue_view(_IDENTITY)
            if not queue["queued"] and not queue["running"]:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _readable(self, job_id: str) -> None:
        while True:
            try:
                await self._service.get_result(_IDENTITY, job_id)
            except NotFoundError:
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return

    async def _check(self, ids: list[str]) -> None:
        for job_id in ids:
            result = await self._service.get_result(_IDENTITY, job_id)
            if not result["Success"]:
                raise RuntimeError(f"a job did not succeed: {result}")


class Yardsticks:
    """Handlers that do only what cannot be avoided."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._written = 0

    async def write(self, request: web.Request) -> web.Response:
        """Write the body to a new file and fsync it, in a thread."""
        body = await request.read()
        self._written += 1
        await asyncio.to_thread(_write_durably, self._folder / str(self._written), body)
        return web.json_response({"success": True})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """A file's content as Server-Sent Events."""
        text = await asyncio.to_thread(Path(request.query["path"]).read_text)
        size = int(request.query["piece"])
        async with sse_response(request) as response:
            for offset in range(0, len(text), size):
                await response.send(json.dumps({"Text": text[offset : offset + size]}), event="output")
            await response.send("{}", event="end")
        return response


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _ping(_request: web.Request) -> web.Response:
    return web.Response(text="pong")


@web.middleware
async def _tell_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        return await handler(request)  # type: ignore[no-any-return]
    except web.HTTPException:
        raise
    except Exception as error:
        print(f"{request.path}: {error!r}", file=sys.stderr)
        return web.json_response({"error": repr(error)}, status=500)


async def serve(data_dir: Path, settings: dict[str, Any], *, plugin: bool) -> None:
    """Serve until stdin ends; the port, the key and the seconds it took to be ready are printed."""
    started = time.perf_counter()
    app = web.Application(middlewares=[_tell_errors], client_max_size=1 << 26)
    secret = ""
    app.router.add_get("/ping", _ping)
    yardsticks = Yardsticks(data_dir / "yardsticks")
    app.router.add_post("/bench/write", yardsticks.write)
    app.router.add_get("/bench/events", yardsticks.events)
    if plugin:
        config = JobsConfig(data_dir=data_dir, **settings)
        jobs = aiohttp_jobs.setup(app, config)
        _, secret = ApiKeys.in_data_dir(data_dir).create(name="bench", user_id=USER, roles=ROLES)
        embedded = Embedded(jobs[SERVICE])
        for name in ("run", "one_by_one", "fill", "drain"):
            app.router.add_post(f"/bench/{name}", getattr(embedded, name))
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    port = runner.addresses[0][1]
    hello = {"port": port, "secret": secret, "ready": time.perf_counter() - started}
    print(json.dumps(hello), flush=True)
    await _stdin_closed()
    await runner.cleanup()


async def _stdin_closed() -> None:
    loop, closed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, lambda: None if os.read(0, 4096) else closed.set())
    await closed.wait()
    loop.remove_reader(sys.stdin)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    asyncio.run(serve(Path(asked["data_dir"]), asked["settings"], plugin=asked["plugin"]))
