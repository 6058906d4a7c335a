"""The BackgroundJob mode: each command in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from ..model.job import InterpreterName
from ..system.threads import started
from .base import Execution, Outcome, hand_over
from .interpreters import (
    SHELL,
    Interpreter,
    SimpleCommand,
    interpreter_for,
    shell_environment,
    shell_exit,
    simple_command,
    understood_shell,
)
from .output.capture import OutputPipe
from .process.orphans import Orphans
from .process.process import Process, Program, be_ready_to_stop, kill_marked, marks_of
from .process.starting import Endings, Start, start_process
from .workspace import prepare, working_folder

T = TypeVar("T")


class BackgroundExecutor:
    """Runs a command in a new session, with empty stdin and only the given environment."""

    def __init__(
        self,
        interpreters: Mapping[InterpreterName, Interpreter],
        kill_grace: float,
        orphans: Orphans | None = None,
        start: Start = start_process,
    ) -> None:
        """`start` starts its processes."""
        self._interpreters = interpreters
        self._kill_grace = kill_grace
        self._endings = Endings(orphans)
        self._start_process = start
        self._above = "", ""
        self._may_skip_shell = understood_shell()

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self._endings.close()

    async def run(self, execution: Execution) -> Outcome:
        start = partial(self._start, execution)
        code, simple = await run_process(execution, start, self._kill_grace)
        if not simple:
            return Outcome(code)
        code, words = shell_exit(code)
        execution.log.append(words.encode())
        return Outcome(code)

    async def _start(self, execution: Execution, output: int) -> tuple[Process, bool]:
        """The process that runs the command, and whether it does so without a shell."""
        interpreter = interpreter_for(execution, self._interpreters)
        simple = self._simple(execution, interpreter)
        environment = {**execution.environment, **hand_over(execution.parameters, execution.interpreter)}
        if simple is not None:
            folder = working_folder(execution)
            variables = shell_environment(environment, self._real(folder))
            program = Program(simple.arguments, variables, folder, output, simple.program)
            # What cannot be started is left to the shell, which says why in its own words.
            with contextlib.suppress(OSError):
                return await self._start_process(program, self._endings), True
        workspace = prepare(execution, interpreter)
        arguments = interpreter.arguments(workspace.command_file)
        program = Program(arguments, environment, workspace.folder, output)
        return await self._start_process(program, self._endings), False

    def _real(self, folder: str) -> str:
        """`folder` without links in its path; only those above the run folders can be links."""
        above, run, work = folder.rsplit("/", 2)
        if above != self._above[0]:
            self._above = above, os.path.realpath(above)
        return f"{self._above[1]}/{run}/{work}"

    def _simple(self, execution: Execution, interpreter: Interpreter) -> SimpleCommand | None:
        if not self._may_skip_shell or interpreter.prefix != (SHELL,) or "PWD" in execution.environment:
            return None
        return simple_command(execution.command, execution.environment.get("PATH", ""))


async def run_process(
    execution: Execution, start: Callable[[int], Awaitable[tuple[Process, T]]], kill_grace: float
) -> tuple[int, T]:
    """Wait for what `start` starts; return its exit code, and what else it reported.

    Its output is in the log then. `start` is given the descriptor for the output. When cancelled, the process
    and its descendants are ended first.
    """
    be_ready_to_stop()
    marks, pipe = marks_of(execution.job_id, execution.environment), OutputPipe(execution.log)
    try:
        try:
            process, told = await start(pipe.write_end)
        except asyncio.CancelledError:
            await asyncio.wrap_future(started(kill_marked, marks))
            raise
        pipe.close_write_end()
        execution.on_start(process.pid)
        try:
            return await process.wait(), told
        except asyncio.CancelledError:
            await process.stop(kill_grace, marks)
            raise
    finally:
        await pipe.close()
