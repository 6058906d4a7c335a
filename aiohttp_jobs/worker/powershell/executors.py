"""PowerShell in the three modes, over one set of spare hosts, combined with each mode's other executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...model.job import ExecutionMode, InterpreterName
from ..base import Execution, Executor, ExpectedJob, Outcome
from ..interpreters import Interpreter
from ..process.orphans import Orphans
from ..process.starting import Endings
from .background import PowerShellBackground
from .host import PowerShellHost
from .mainloop import PowerShellSession
from .messages import Session
from .runspace import PowerShellRunspaces
from .spares import Spares


class PowerShell:
    """Runs PowerShell jobs in each mode. Nothing is started before the first one.

    `size` limits the hosts of Runspace mode, `spares` are kept ready; `running` returns what a MainLoop job
    sees in ``$PSWebServer.Runspaces``.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        session: Session,
        *,
        size: int,
        spares: int,
        kill_grace: float,
        running: Callable[[], list[Mapping[str, Any]]],
        orphans: Orphans | None = None,
    ) -> None:
        self._endings = Endings(orphans)
        self._spares = Spares(lambda: PowerShellHost(interpreter, session, self._endings), spares)
        self.session = PowerShellSession(
            lambda: PowerShellHost(interpreter, session, self._endings, is_lasting=True), running, kill_grace
        )
        self.runspaces = PowerShellRunspaces(self._spares, size=size, kill_grace=kill_grace)
        background = PowerShellBackground(self._spares, kill_grace=kill_grace)
        self._preparing: Mapping[ExecutionMode, PowerShellRunspaces | PowerShellBackground] = {
            ExecutionMode.RUNSPACE: self.runspaces,
            ExecutionMode.BACKGROUND_JOB: background,
        }
        self._executors: Mapping[ExecutionMode, Executor] = {
            ExecutionMode.MAIN_LOOP: self.session,
            ExecutionMode.RUNSPACE: self.runspaces,
            ExecutionMode.BACKGROUND_JOB: background,
        }

    def beside(self, others: Mapping[ExecutionMode, Executor]) -> Mapping[ExecutionMode, Executor]:
        """For each mode, an executor that runs PowerShell jobs here, where possible, and all others with
        `others`.
        """
        return {
            **others,
            **{mode: _WithPowerShell(others[mode], own) for mode, own in self._executors.items()},
        }

    def prepare(self, expected: ExpectedJob) -> None:
        """Have a process that waits, if any, get ready for a job that is being claimed.

        Then `run` of its mode or `withdraw` must follow.
        """
        mode = self._preparing.get(expected.submission.execution_mode)
        if mode is not None:
            mode.prepare(expected)

    def place(self, job_id: str, job_dir: str) -> None:
        """Tell the process that prepares the job, if any does, in which folder the job will be."""
        for mode in self._preparing.values():
            mode.place(job_id, job_dir)

    def withdraw(self, job_id: str) -> None:
        """Take back what was prepared for a job that does not run, if anything was."""
        for mode in self._preparing.values():
            mode.withdraw(job_id)

    async def close(self) -> None:
        """End the spares, and wait for hosts that are ending. To be called after the modes are closed."""
        await self._spares.close()
        self._endings.close()


class _WithPowerShell:
    """One mode: PowerShell's jobs go to `powershell`, those of other interpreters to `other`."""

    def __init__(self, other: Executor, powershell: Executor) -> None:
        self._other = other
        self._powershell = powershell

    async def open(self) -> None:
        await self._other.open()
        await self._powershell.open()

    async def close(self) -> None:
        try:
            await self._powershell.close()
        finally:
            await self._other.close()

    async def run(self, execution: Execution) -> Outcome:
        is_powershell = execution.interpreter is InterpreterName.POWERSHELL and execution.prefix is None
        return await (self._powershell if is_powershell else self._other).run(execution)
