"""The BackgroundJob mode: each command in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from ..models import InterpreterName
from .base import Execution, Outcome
from .capture import OutputPipe
from .interpreters import Interpreter
from .parameters import hand_over
from .process import JOB_VARIABLE, Process
from .workspace import prepare


class BackgroundExecutor:
    """Runs a command in a new session, with empty stdin and only the environment it is given."""

    def __init__(self, interpreters: Mapping[InterpreterName, Interpreter], kill_grace: float) -> None:
        self._interpreters = interpreters
        self._kill_grace = kill_grace

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def run(self, execution: Execution) -> Outcome:
        interpreter = self._interpreters[execution.interpreter]
        workspace = prepare(execution, interpreter)
        pipe = OutputPipe(execution.log)
        try:
            process = Process(
                interpreter.arguments(workspace.command_file),
                environment={
                    **execution.environment,
                    **hand_over(execution.parameters, execution.interpreter),
                },
                folder=workspace.folder,
                output=pipe.write_end,
            )
            pipe.close_write_end()
            execution.on_start(process.pid)
            try:
                return Outcome(await process.wait())
            except asyncio.CancelledError:
                await process.stop(self._kill_grace, (JOB_VARIABLE, execution.job_id))
                raise
        finally:
            await pipe.close()
