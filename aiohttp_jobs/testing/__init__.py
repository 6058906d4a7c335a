"""For hosts' tests: runs their functions as jobs, as in the application, but without sockets.

The pytest fixture is in ``fixtures``. Jobs run with the same code as everywhere.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from aiohttp import web

from ..assembly.app import setup
from ..assembly.from_code import JobHandle, submit
from ..config import JobsConfig
from ..functions.registry import BoundFunction, Function, Functions
from ..http.app_keys import CODE_JOBS, MOUNTED

P = ParamSpec("P")
R = TypeVar("R")

_QUICK: dict[str, Any] = {
    "kill_grace": 1.0,
    "shutdown_grace": 0.0,
    "max_parallel_runspace": 2,
    "max_parallel_background": 2,
}

__all__ = ["JobsOfApp", "JobsOfTest", "opened", "run_function"]


async def run_function(function: Function[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function` as a job in its first mode, with these arguments; return its return value.

    Raises what `bind` raises, and `JobFailedError` for a job that does not succeed. Everything is created for
    this job in a temporary folder, and removed afterwards; the `jobs` fixture keeps it for a whole test.
    """
    async with opened(function.owner) as jobs:
        return await jobs.run(function.bind(*args, **kwargs))


class JobsOfApp:
    """The jobs of `app`, an application with the plugin that has been started."""

    def __init__(self, app: web.Application) -> None:
        self.app = app

    async def submit(self, function: BoundFunction[R], **options: Any) -> JobHandle[R]:
        """Like ``aiohttp_jobs.submit``, for this application."""
        return await submit(self.app, function, **options)

    async def run(self, function: BoundFunction[R], **options: Any) -> R:
        """Run the function as a job; return its return value. Raises `JobFailedError` for a job that does not
        succeed.
        """
        return await (await self.submit(function, **options))

    async def wait(self, seconds: float = 60.0) -> list[dict[str, Any]]:
        """Wait until no job is queued or running; return the results of all jobs in the order of their ends.

        Jobs that are not due yet are not waited for. Raises ``TimeoutError`` after `seconds`.
        """
        async with asyncio.timeout(seconds):
            return [each for plugin in self._plugins() for each in await plugin[CODE_JOBS].ended()]

    def _plugins(self) -> list[web.Application]:
        return [self.app] if CODE_JOBS in self.app else list(self.app.get(MOUNTED, {}).values())


@asynccontextmanager
async def opened(functions: Functions, **settings: Any) -> AsyncIterator[JobsOfApp]:
    """An application without sockets in which `functions` can run while the block runs.

    `settings` are those of `JobsConfig`; the data folder is temporary unless they name one.
    """
    with tempfile.TemporaryDirectory(prefix="aiohttp-jobs-") as folder:
        app = web.Application()
        config = JobsConfig(**{"data_dir": Path(folder), **_QUICK, **settings})
        setup(app, config, functions=functions)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            yield JobsOfApp(app)
        finally:
            await runner.cleanup()


class JobsOfTest:
    """The `jobs` fixture: runs functions of any `Functions`, each opened on first use."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._opened: dict[int, JobsOfApp] = {}

    async def submit(self, function: BoundFunction[R], **options: Any) -> JobHandle[R]:
        """Like ``aiohttp_jobs.submit``, without the application."""
        return await (await self._of(function)).submit(function, **options)

    async def run(self, function: BoundFunction[R], **options: Any) -> R:
        """Run the function as a job; return its return value. Raises `JobFailedError` for a job that does not
        succeed.
        """
        return await (await self._of(function)).run(function, **options)

    async def wait(self, seconds: float = 60.0) -> list[dict[str, Any]]:
        """Like `JobsOfApp.wait`, for all that was submitted here."""
        return [result for each in self._opened.values() for result in await each.wait(seconds)]

    def of(self, app: web.Application) -> JobsOfApp:
        """The jobs of an application that the test has started."""
        return JobsOfApp(app)

    async def close(self) -> None:
        """Close what was opened, and end all running jobs."""
        await self._stack.aclose()

    async def _of(self, function: BoundFunction[Any]) -> JobsOfApp:
        owner = function.function.owner
        if id(owner) not in self._opened:
            self._opened[id(owner)] = await self._stack.enter_async_context(opened(owner))
        return self._opened[id(owner)]
