"""What dispatch asks of an execution mode, and what it hands over and gets back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from ..functions.registry import Function
from ..model.job import InterpreterName, Submission
from .output.log import OutputLog
from .parameters import NO_PARAMETERS, Parameters
from .process.process import Process
from .return_values import NOTHING, ReturnValue

WORK = "work"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One of the host's functions, to be called with `values`: JSON by name, the secret ones included.

    `attempt` counts from 1; at `deadline` (aware) the job's time is over. Another process finds the function
    by its `module` and `qualname`.
    """

    function: Function[..., Any]
    values: Mapping[str, Any] = field(repr=False)
    attempt: int
    deadline: datetime

    @property
    def module(self) -> str:
        return self.function.module

    @property
    def qualname(self) -> str:
        return self.function.qualname

    @property
    def name(self) -> str:
        return self.function.name


@dataclass(frozen=True, slots=True)
class Execution:
    """One job, ready to run. `environment` is all the variables it gets.

    `job_dir` is its own; the folder `WORK` in there, empty, is where its command begins. What the host keeps
    about it lies elsewhere.
    """

    job_id: str
    user_id: str
    command: str
    interpreter: InterpreterName
    job_dir: str
    environment: Mapping[str, str]
    log: OutputLog
    on_start: Callable[[int], None] = lambda _: None
    """Told the id of the process that runs it."""
    parameters: Parameters = NO_PARAMETERS
    prefix: tuple[str, ...] | None = None
    """The command line to put before the command's file, if it is not the interpreter's own."""
    submission: Submission | None = None
    """What was asked for, where the interpreter shows it to the command."""
    function: FunctionCall | None = None
    """What is called instead of a command, which then only shows the call and must never be run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended by itself. `exit_code` is negative when a signal ended it.

    `error` is a sentence for the job's owner when there is more to say than the exit code does;
    `timed_out` tells that a limit of the mode's own ended it. Of a function there is what it `returned`.
    """

    exit_code: int
    error: str | None = None
    timed_out: bool = False
    returned: ReturnValue = NOTHING


class NotStartedError(Exception):
    """The command was not started, as the disk refused what that takes; it may be tried again."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"the server's disk refused to keep the command ({cause.strerror or cause})")
        self.cause = cause


class Executor(Protocol):
    """One execution mode."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def run(self, execution: Execution) -> Outcome:
        """Run to the end, with everything printed in ``execution.log``. Raises `NotStartedError`.

        When cancelled, it first ends the command with all its descendants, within the configured
        grace time, and then raises ``CancelledError``.
        """
        ...


class WarmWorker(Protocol):
    """A process that serves one user's Runspace jobs: its `owner`, and the job that it runs now, if any."""

    @property
    def process(self) -> Process: ...
    @property
    def owner(self) -> str | None: ...
    @property
    def job_id(self) -> str | None: ...
    @property
    def served(self) -> int: ...
    @property
    def started_at(self) -> datetime: ...
