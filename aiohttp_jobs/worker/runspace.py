"""The Runspace mode: commands in warm worker processes, each of which serves one user.

Workers are started from ``child`` by path and not with ``multiprocessing``, which would run the host's main
script again in each and pass them the host's environment. ``pool`` manages them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..model.job import InterpreterName
from ..system.jsontext import dumps
from .base import Execution, Outcome
from .interpreters import Interpreter, interpreter_for
from .pool import Growth, PoolWorker, WorkerPool
from .process.orphans import Orphans
from .process.process import INSTANCE_VARIABLE, Program
from .process.starting import Endings
from .workspace import Workspace, planned, prepare

_MAX_SENT = 4 * 1024
"""Longer commands go by way of a file: a message is in one piece, and bounded."""


class RunspaceExecutor:
    """Runs Python inside, and shells below, at most `size` warm workers."""

    def __init__(
        self,
        interpreters: Mapping[InterpreterName, Interpreter],
        *,
        size: int,
        environment: Mapping[str, str],
        kill_grace: float,
        orphans: Orphans | None = None,
    ) -> None:
        self._interpreters = interpreters
        self._environment = environment
        self._pool = WorkerPool(
            self._program, Growth(size, spares=size), kill_grace=kill_grace, endings=Endings(orphans)
        )

    @property
    def workers(self) -> list[PoolWorker]:
        """The current workers, oldest first."""
        return self._pool.workers

    async def open(self) -> None:
        self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    async def run(self, execution: Execution) -> Outcome:
        interpreter = interpreter_for(execution, self._interpreters)
        make = planned if _is_sent(execution) else prepare
        workspace = make(execution, interpreter)
        request = dumps(_request(execution, interpreter, workspace, self._environment)) + b"\n"
        return await self._pool.run(execution, request)

    def _program(self, control: int, output: int, nowhere: int) -> Program:
        prefix = self._interpreters[InterpreterName.PYTHON].prefix
        return Program(
            arguments=[*prefix, "--serve", str(control), str(output), str(os.getpid())],
            environment=self._environment,
            folder="/",
            output=nowhere,
            pass_fds=[control, output],
        )


def _is_sent(execution: Execution) -> bool:
    """Whether the command goes to the worker in the message."""
    return execution.interpreter is InterpreterName.PYTHON and len(execution.command) <= _MAX_SENT


def _request(
    execution: Execution, interpreter: Interpreter, workspace: Workspace, known: Mapping[str, str]
) -> dict[str, Any]:
    """What a worker is told, whose own environment is `known`."""
    inside = interpreter.name is InterpreterName.PYTHON
    own = {
        name: value
        for name, value in execution.environment.items()
        if known.get(name) != value and name != INSTANCE_VARIABLE
    }
    return {
        "command_file": workspace.command_file,
        "source": execution.command if _is_sent(execution) else None,
        "arguments": None if inside else interpreter.arguments(workspace.command_file),
        "folder": workspace.folder,
        "environment": own if inside else {**own, **execution.parameters.environment()},
        "parameters": dict(execution.parameters.values) if inside else {},
    }
