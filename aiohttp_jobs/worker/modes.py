"""Builds the execution modes of this machine, with PowerShell in each mode where it is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..config import JobsConfig
from ..errors import ConfigurationError
from ..functions.registry import Functions
from ..model.job import ExecutionMode, InterpreterName, Submission
from ..system.closing import Closing
from .background import BackgroundExecutor
from .base import Execution, Executor, ExpectedJob, Outcome, WarmWorker
from .functions.background import FunctionBackground
from .functions.runspace import FunctionRunspaces
from .interpreters import Interpreter, find_interpreters
from .process.orphans import Orphans
from .runspace import RunspaceExecutor
from .workspace import base_environment, job_environment

if TYPE_CHECKING:
    from .powershell.executors import PowerShell
    from .watchdog import Watchdogs


class ExecutionModes:
    """The executors of all modes, and the installed interpreters.

    `application` returns what MainLoop Python sees as ``app``; `functions` are the host's own functions.
    Raises `ConfigurationError` when the default interpreter is not installed.
    """

    def __init__(
        self, config: JobsConfig, application: Callable[[], Any], functions: Functions | None = None
    ) -> None:
        self._config = config
        self.functions = Functions() if functions is None else functions
        self._interpreters = find_interpreters()
        if config.default_interpreter not in self._interpreters:
            raise ConfigurationError(f"default_interpreter: {config.default_interpreter.absence}.")
        # Filled when this opens: the instance id belongs to one process, and the host may fork until then.
        self.environment: dict[str, str] = {}
        self.orphans = Orphans()
        self._runspaces = RunspaceExecutor(
            self._interpreters,
            size=config.max_parallel_runspace,
            environment=self.environment,
            kill_grace=config.kill_grace,
            orphans=self.orphans,
        )
        background = BackgroundExecutor(self._interpreters, config.kill_grace, self.orphans)
        self._powershell = self._make_powershell(self._interpreters.get(InterpreterName.POWERSHELL))
        mainloop = _MainLoop(background, application, config.mainloop_timeout)
        executors: Mapping[ExecutionMode, Executor] = {
            ExecutionMode.MAIN_LOOP: _LoadedWhenUsed(mainloop.for_commands),
            ExecutionMode.RUNSPACE: self._runspaces,
            ExecutionMode.BACKGROUND_JOB: background,
        }
        self.executors = executors if self._powershell is None else self._powershell.beside(executors)
        self._function_runspaces = FunctionRunspaces(
            self.functions,
            self.environment,
            size=config.max_parallel_runspace,
            kill_grace=config.kill_grace,
            orphans=self.orphans,
        )
        self.function_executors: Mapping[ExecutionMode, Executor] = {
            ExecutionMode.MAIN_LOOP: _LoadedWhenUsed(mainloop.for_functions),
            ExecutionMode.RUNSPACE: self._function_runspaces,
            ExecutionMode.BACKGROUND_JOB: FunctionBackground(
                self.environment, kill_grace=config.kill_grace, orphans=self.orphans
            ),
        }
        """What runs `functions`, each mode's own: a command must never be run where they are, or reverse."""

    @property
    def interpreters(self) -> list[InterpreterName]:
        """The interpreters that are installed."""
        return list(self._interpreters)

    def can_prepare(self, submission: Submission) -> bool:
        """Whether a job can be prepared while it is being claimed: plain PowerShell commands can."""
        return (
            submission.interpreter is InterpreterName.POWERSHELL
            and self._powershell is not None
            and submission.template_id is None
            and submission.function is None
            and not submission.template_values
            and not submission.sealed_values
        )

    def prepare(self, submission: Submission) -> None:
        """Have what will run the job get ready for it. Nothing of it runs; `withdraw` takes it back."""
        if self._powershell is not None:
            environment = job_environment(self.environment, submission)
            self._powershell.prepare(
                ExpectedJob(submission.job_id, submission.user_id, environment, submission)
            )

    def place(self, job_id: str, job_dir: str) -> None:
        """Say where a job that was prepared is going to run, if it may. Nothing of it runs.

        Blocks for as long as it takes to write the command's file.
        """
        if self._powershell is not None:
            self._powershell.place(job_id, job_dir)

    def withdraw(self, job_id: str) -> None:
        """Take back what was prepared for a job and has not been used."""
        if self._powershell is not None:
            self._powershell.withdraw(job_id)

    def warm_workers(self) -> list[WarmWorker]:
        """The current processes for Runspace jobs."""
        own = () if self._powershell is None else self._powershell.runspaces.workers
        return [*self._runspaces.workers, *self._function_runspaces.workers, *own]

    async def restart_session(self) -> bool:
        """Let the next MainLoop job in PowerShell start a new session; false while a job runs in the current
        one.
        """
        return self._powershell is None or await self._powershell.session.restart()

    async def open(self, stack: AsyncExitStack, closing: Closing, instance_id: str) -> None:
        """Open each mode, to be closed by `stack`. Jobs see `instance_id` in their environment."""
        self.environment.update(base_environment(self._config, instance_id))
        self.orphans.open()
        if self._powershell is not None:
            stack.push_async_callback(closing.close, "PowerShell", self._powershell.close)
        for executor in (*self.executors.values(), *self.function_executors.values()):
            await executor.open()
            stack.push_async_callback(closing.close, "An execution mode", executor.close)

    def _make_powershell(self, interpreter: Interpreter | None) -> PowerShell | None:
        if interpreter is None:
            return None
        # Nobody needs it where PowerShell is not installed.
        from .powershell.executors import PowerShell  # noqa: PLC0415 - as said above
        from .powershell.messages import Session  # noqa: PLC0415 - as said above

        config = self._config
        return PowerShell(
            interpreter,
            Session(
                self.environment,
                width=config.powershell_width,
                is_text=config.powershell_output == "text",
                project_root=os.getcwd(),
            ),
            size=config.max_parallel_runspace,
            spares=config.powershell_spares,
            kill_grace=config.kill_grace,
            running=self._running_in_runspaces,
            orphans=self.orphans,
        )

    def _running_in_runspaces(self) -> list[Mapping[str, Any]]:
        return [
            {"JobID": worker.job_id, "UserID": worker.owner}
            for worker in self.warm_workers()
            if worker.job_id is not None
        ]


class _LoadedWhenUsed:
    """An executor that needs no opening, and is made for its first job by `make`.

    Of MainLoop's a fifth of a megabyte is loaded then, in some milliseconds: few people may use it.
    """

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._made: Executor | None = None

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()

    async def run(self, execution: Execution) -> Outcome:
        if self._made is None:
            self._made = self._make()
        return await self._made.run(execution)


class _MainLoop:
    """The two executors of MainLoop, which share one thread that watches all."""

    def __init__(self, processes: Executor, application: Callable[[], Any], limit: float) -> None:
        self._processes = processes
        self._application = application
        self._limit = limit

    @cached_property
    def _watchdogs(self) -> Watchdogs:
        from .watchdog import Watchdogs  # noqa: PLC0415 - see `_LoadedWhenUsed`

        return Watchdogs()

    def for_commands(self) -> Executor:
        from .mainloop import MainLoopExecutor  # noqa: PLC0415 - see `_LoadedWhenUsed`

        return MainLoopExecutor(self._processes, self._application, self._limit, self._watchdogs)

    def for_functions(self) -> Executor:
        from .functions.mainloop import FunctionMainLoop  # noqa: PLC0415 - see `_LoadedWhenUsed`

        return FunctionMainLoop(self._application, self._limit, self._watchdogs)
