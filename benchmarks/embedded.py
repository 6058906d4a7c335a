"""What a host's own code does with jobs through `JobService`, offered to the benchmark as routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import Functions, JobsConfig
from aiohttp_jobs.assembly.keys_and_sessions import opened_access
from aiohttp_jobs.errors import NotFoundError
from aiohttp_jobs.http.app_keys import SERVICE
from aiohttp_jobs.http.queue import QUEUE
from aiohttp_jobs.http.results import RESULTS
from aiohttp_jobs.model.identity import Identity
from aiohttp_jobs.model.job import SubmitRequest
from aiohttp_jobs.services.jobs import JobService
from aiohttp_jobs.services.queue import QueueService
from aiohttp_jobs.services.results import ResultService

ROLES = frozenset({"debug", "task_manager", "system_admin"})
USER = "bench"
_IDENTITY = Identity(USER, "bench", ROLES)
_LOOK_SECONDS = 0.005


def mount(app: web.Application, data_dir: Path, settings: dict[str, Any], functions: Functions | None) -> str:
    """Mount the plugin, and these routes below ``/bench``; an API key for it."""
    config = JobsConfig(data_dir=data_dir, **settings)
    jobs = aiohttp_jobs.setup(app, config, functions=functions)
    embedded = Embedded(jobs[SERVICE], jobs[RESULTS], jobs[QUEUE], jobs, functions)
    for name in ("run", "one_by_one", "fill", "drain"):
        app.router.add_post(f"/bench/{name}", getattr(embedded, name))
    with opened_access(data_dir=data_dir, dsn=config.dsn, secret=config.secret) as access:
        _, secret = access.api_keys.create(name="bench", user_id=USER, roles=ROLES)
    return secret


class Embedded:
    """What the host's own code does with jobs, without HTTP."""

    def __init__(
        self,
        service: JobService,
        results: ResultService,
        queue: QueueService,
        app: web.Application,
        functions: Functions | None,
    ) -> None:
        self._service = service
        self._results = results
        self._queue = queue
        self._app = app
        self._functions = functions or Functions()

    async def run(self, request: web.Request) -> web.Response:
        """Submit many jobs at once; the seconds from the first to the last readable result."""
        asked = await request.json()
        submit, count = self._submitter(asked["job"]), asked["count"]
        started = time.perf_counter()
        ids = await asyncio.gather(*(submit() for _ in range(count)))
        seconds = await self._all_ended(ids) - started
        return web.json_response({"seconds": seconds})

    async def one_by_one(self, request: web.Request) -> web.Response:
        """Submit one job after the other; the seconds of each until its result is readable."""
        asked = await request.json()
        submit, seconds = self._submitter(asked["job"]), []
        for _ in range(asked["count"]):
            started = time.perf_counter()
            job_id = await submit()
            await self._ended(job_id)
            seconds.append(time.perf_counter() - started)
        return web.json_response({"seconds": seconds})

    async def fill(self, request: web.Request) -> web.Response:
        """Add jobs, and leave them waiting (the queue is paused)."""
        asked = await request.json()
        submit, count = self._submitter(asked["job"]), asked["count"]
        await self._queue.set_paused(_IDENTITY, True)
        await asyncio.gather(*(submit() for _ in range(count)))
        return web.json_response({})

    async def drain(self, request: web.Request) -> web.Response:
        """Let about `count` (1000 at most) of the waiting jobs run; the seconds that `count` of them took."""
        count = (await request.json())["count"]
        queue = await self._queue.view(_IDENTITY)
        ids = [job["JobID"] for job in queue["jobs"][:count]]
        started = time.perf_counter()
        await self._queue.set_paused(_IDENTITY, False)
        if count >= queue["queued"]:
            return web.json_response({"seconds": await self._all_ended(ids) - started})
        # Which jobs go first is not told exactly by the queue's view; how many went is.
        await self._ended(ids[-1])
        await self._queue.set_paused(_IDENTITY, True)
        # Not the queue's view, which shows a thousand jobs: that would be measured.
        while await self._service.list_jobs(_IDENTITY, ("running",), everyone=False, limit=1):
            await asyncio.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - started
        ran = queue["queued"] - (await self._queue.view(_IDENTITY))["queued"]
        return web.json_response({"seconds": seconds * count / ran})

    def _submitter(self, job: dict[str, Any]) -> Callable[[], Awaitable[str]]:
        """Submits `job`, a command or ``{"function": its name}``, when it is called; the job's id."""
        if (name := job.get("function")) is None:
            request = SubmitRequest.model_validate(job)

            async def submit() -> str:
                return (await self._service.submit(_IDENTITY, request)).job_id

            return submit
        function = self._functions.get(name)
        assert function is not None

        async def submit_function() -> str:
            return (await aiohttp_jobs.submit(self._app, function.bind(), user=USER)).id

        return submit_function

    async def _all_ended(self, ids: list[str]) -> float:
        """The moment at which all of the jobs were seen to have ended."""
        await self._ended(ids[-1])
        while True:
            queue = await self._queue.view(_IDENTITY)
            if not queue["queued"] and not queue["running"]:
                ended = time.perf_counter()
                # The clock does not count this look, unless one was still on its way.
                if await self._succeeded(ids):
                    return ended
            await asyncio.sleep(_LOOK_SECONDS)

    async def _succeeded(self, ids: list[str]) -> bool:
        try:
            results = [await self._results.get(_IDENTITY, job_id) for job_id in ids]
        except NotFoundError:
            return False
        for result in results:
            if not result["Success"]:
                raise RuntimeError(f"a job did not succeed: {result}")
        return True

    async def _ended(self, job_id: str) -> None:
        """Wait as a host would: for the job's last event, its result being readable then."""
        async for _event in await self._service.follow(_IDENTITY, job_id, (1, 0)):
            pass
