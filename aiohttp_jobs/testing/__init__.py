"""For the tests of hosts: their functions run as jobs, as in the application, but without sockets.

The pytest fixture is in ``fixtures``; what runs the jobs is what runs them everywhere.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from aiohttp import web

from ..app import setup
from ..config import JobsConfig
from ..from_code import JobHandle, submit
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
    """What `function` returns when it is called as a job with these arguments, in its first mode.

    Raises what `bind` raises, and `JobFailedError` for a job that does not succeed. Everything it takes is
    made for this job alone, in a temporary folder, and gone afterwards; the `jobs` fixture keeps it for a
    whole test.
    """
    async with opened(function.owner) as jobs:
        return await jobs.run(function.bind(*args, **kwargs))


class JobsOfApp:
    """The jobs of `app`, in which the plugin is mounted, and which has been started."""

    def __init__(self, app: web.Application) -> None:
        self.app = app

    async def submit(self, function: BoundFunction[R], **options: Any) -> JobHandle[R]:
        """As ``aiohttp_jobs.submit`` does."""
        return await submit(self.app, function, **options)

    async def run(self, function: BoundFunction[R], **options: Any) -> R:
        """What the function returns as a job. Raises `JobFailedError` for one that does not succeed."""
        return await (await self.submit(function, **options))

    async def wait(self, seconds: float = 60.0) -> list[dict[str, Any]]:
        """The results of all jobs of the application, whoever submitted them, in the order of their ends.

        First waits until none is left that waits for its turn or runs; those that are not due yet are left
        alone. Raises ``TimeoutError`` when that takes more than so many `seconds`.
        """
        async with asyncio.timeout(seconds):
            return [each for plugin in self._plugins() for each in await plugin[CODE_JOBS].ended()]

    def _plugins(self) -> list[web.Application]:
        return [self.app] if CODE_JOBS in self.app else list(self.app.get(MOUNTED, {}).values())


@asynccontextmanager
async def opened(functions: Functions, **settings: Any) -> AsyncIterator[JobsOfApp]:
    """An application of its own, started without sockets, in which `functions` run while the block does.

    `settings` are those of `JobsConfig`; the data folder is a temporary one unless they name another.
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
    """What the `jobs` fixture is: runs functions of any `Functions`, each opened when it is first needed."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._opened: dict[int, JobsOfApp] = {}

    async def submit(self, function: BoundFunction[R], **options: Any) -> JobHandle[R]:
        """As ``aiohttp_jobs.submit`` does, but for the application."""
        return await (await self._of(function)).submit(function, **options)

    async def run(self, function: BoundFunction[R], **options: Any) -> R:
        """What the function returns as a job. Raises `JobFailedError` for one that does not succeed."""
        return await (await self._of(function)).run(function, **options)

    async def wait(self, seconds: float = 60.0) -> list[dict[str, Any]]:
        """As `JobsOfApp.wait`, for all that was submitted here."""
        return [result for each in self._opened.values() for result in await each.wait(seconds)]

    def of(self, app: web.Application) -> JobsOfApp:
        """The jobs of an application that the test has started, to be run there, or to be waited for."""
        return JobsOfApp(app)

    async def close(self) -> None:
        """End what was opened, with all jobs that still run."""
        await self._stack.aclose()

    async def _of(self, function: BoundFunction[Any]) -> JobsOfApp:
        owner = function.function.owner
        if id(owner) not in self._opened:
            self._opened[id(owner)] = await self._stack.enter_async_context(opened(owner))
        return self._opened[id(owner)]
