"""OwnedTasks: the tasks that one part has started, and waits for before it is closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_logger = logging.getLogger(__name__)


class OwnedTasks:
    """Keeps each task until it ends, and logs the error of one that fails, called a task of `what`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do `work` in a task of its own."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait(self) -> None:
        """Until none is left, those that are started meanwhile included. Raises nothing of theirs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, seconds: float) -> None:
        """Wait for those of now; those that have not ended after `seconds` are cancelled, and waited for."""
        await end_tasks(self._tasks, seconds)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("A task of %s failed", self._what, exc_info=error)


async def end_tasks(tasks: Collection[asyncio.Task[Any]], seconds: float) -> None:
    """Wait for `tasks`; those that have not ended after `seconds` are cancelled, and waited for.

    Raises nothing of theirs.
    """
    every = set(tasks)
    if every:
        _, late = await asyncio.wait(every, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*every, return_exceptions=True)
