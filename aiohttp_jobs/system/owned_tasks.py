"""OwnedTasks: tasks with an owner that waits for them before it closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_logger = logging.getLogger(__name__)


class OwnedTasks:
    """Keeps a reference to each task until it ends, and logs the error of one that fails; `what` names them
    in the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` in a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait(self) -> None:
        """Wait until no task is left, including those started meanwhile. Raises none of their errors."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, seconds: float) -> None:
        """Wait for the current tasks; those still running after `seconds` are cancelled, and waited for."""
        await end_tasks(self._tasks, seconds)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("A task of %s failed", self._what, exc_info=error)


async def end_tasks(tasks: Collection[asyncio.Task[Any]], seconds: float) -> None:
    """Wait for `tasks`; those still running after `seconds` are cancelled, and waited for.

    Raises none of their errors.
    """
    every = set(tasks)
    if every:
        _, late = await asyncio.wait(every, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*every, return_exceptions=True)
