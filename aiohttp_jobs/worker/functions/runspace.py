"""The host's functions in Runspace mode: in warm workers that have imported their modules.

They have their own pool: users' commands never run in a process with the host's code.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Mapping
from typing import Any

from ...functions.registry import Functions
from ...model.job import ExecutionMode
from ...system.jsontext import dumps
from ..base import Execution, Outcome
from ..pool import Growth, PoolWorker, WorkerPool
from ..process.orphans import Orphans
from ..process.process import INSTANCE_VARIABLE, Program
from ..process.starting import Endings
from .messages import arguments, greeting, host_folder, request

_PATIENCE_SECONDS = 0.05
_SPARE_SECONDS = 1.0


class FunctionRunspaces:
    """Runs `functions` in at most `size` workers. None is started if no function has this mode."""

    def __init__(
        self,
        functions: Functions,
        environment: Mapping[str, str],
        *,
        size: int,
        kill_grace: float,
        orphans: Orphans,
    ) -> None:
        self._functions = functions
        self._jobs = environment
        self._environment: dict[str, str] = {}
        self._pool = WorkerPool(
            self._program,
            Growth(size, spares=1, patience=_PATIENCE_SECONDS, delay=_SPARE_SECONDS),
            kill_grace=kill_grace,
            endings=Endings(orphans),
            greet=self._greeting,
        )

    @property
    def workers(self) -> list[PoolWorker]:
        """The current workers, oldest first."""
        return self._pool.workers

    async def open(self) -> None:
        self._environment = process_environment(self._jobs)
        if self._modules:
            self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    def run(self, execution: Execution) -> Coroutine[Any, Any, Outcome]:
        message = dumps(request(execution, self._environment)) + b"\n"
        return self._pool.run(execution, message)

    @property
    def _modules(self) -> list[str]:
        every = [each for each in self._functions if ExecutionMode.RUNSPACE in each.options.modes]
        return list(dict.fromkeys(each.module for each in every))

    def _greeting(self, has_failed: bool) -> bytes:
        return greeting([] if has_failed else self._modules)

    def _program(self, control: int, output: int, nowhere: int) -> Program:
        return Program(
            arguments=arguments(control, output),
            environment=self._environment,
            folder=host_folder(),
            output=nowhere,
            pass_fds=[control, output],
        )


def process_environment(jobs: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process for functions: the host's own, because its code is the host's."""
    return {**os.environ, INSTANCE_VARIABLE: jobs[INSTANCE_VARIABLE]}
