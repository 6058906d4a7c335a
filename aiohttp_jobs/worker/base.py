"""The interface of an execution mode, and the types it takes and returns."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from ..functions.registry import Function
from ..model.job import InterpreterName, Submission
from .output.log import OutputLog
from .process.process import Process
from .return_values import NOTHING, ReturnValue

WORK = "work"
_LONGEST_LIMIT = 10 * 366 * 86400.0
_PREFIX = "PARAM_"
"""Keeps the variable of a parameter from being ``PATH``, ``LD_PRELOAD`` or ``IFS``."""
_VARIABLE = "AIOHTTP_JOBS_PARAMETERS"
"""In which a process of its own that runs Python finds all parameters, as JSON; ``child`` takes it away."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The `values` of a command by name, including secret ones, and the `secrets` among them, to be masked.

    They are never text in the command: shells and PowerShell get environment variables ``PARAM_<name>``,
    Python gets variables in its namespace.

    A template's values are strings and integers, a function's any JSON. A parameter without a value is
    ``None`` in Python, and no variable elsewhere.
    """

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secrets: Collection[str] = field(default=(), repr=False)

    def environment(self) -> dict[str, str]:
        return {_PREFIX + name: str(value) for name, value in self.values.items() if value is not None}


NO_PARAMETERS = Parameters()


def hand_over(parameters: Parameters, interpreter: InterpreterName) -> dict[str, str]:
    """The environment variables that pass `parameters` to a process."""
    if interpreter is not InterpreterName.PYTHON:
        return parameters.environment()
    return {_VARIABLE: json.dumps(dict(parameters.values))} if parameters.values else {}


class FunctionCall(NamedTuple):
    """A call of one of the host's functions with `values`: JSON by name, including secret ones.

    `attempt` counts from 1. The job began at `started` (aware) and may run for `seconds`.
    """

    function: Function[..., Any]
    values: Mapping[str, Any]
    attempt: int
    started: datetime
    seconds: float

    def __repr__(self) -> str:
        return f"FunctionCall({self.function.name}, attempt={self.attempt})"  # without the values

    @property
    def deadline(self) -> datetime:
        """When the job times out."""
        return self.started + timedelta(seconds=min(self.seconds, _LONGEST_LIMIT))


class Execution(NamedTuple):
    """A job that is ready to run. `environment` is its whole environment.

    `job_dir` is the job's own folder; its command starts in the empty folder `WORK` in it.
    """

    job_id: str
    user_id: str
    command: str
    interpreter: InterpreterName
    job_dir: str
    environment: Mapping[str, str]
    log: OutputLog
    on_start: Callable[[int], None] = lambda _: None
    """Called with the id of the process that runs it."""
    parameters: Parameters = NO_PARAMETERS
    prefix: tuple[str, ...] | None = None
    """The command line to put before the command's file, if it is not the interpreter's own."""
    submission: Submission | None = None
    """What was asked for, where the interpreter shows it to the command."""
    function: FunctionCall | None = None
    """What is called instead of a command, which then only shows the call and must never be run."""


@dataclass(frozen=True, slots=True)
class ExpectedJob:
    """A command of `user_id` that is being claimed: to be prepared, and not to be run before.

    `environment` is its whole environment. It has no parameters.
    """

    job_id: str
    user_id: str
    environment: Mapping[str, str]
    submission: Submission


class Outcome(NamedTuple):
    """How a job ended by itself. `exit_code` is negative when a signal ended it.

    `error` is a sentence for the job's owner, if the exit code does not say everything; `timed_out`: a limit
    of the mode itself ended it. A function's return value is in `returned`.
    """

    exit_code: int
    error: str | None = None
    timed_out: bool = False
    returned: ReturnValue = NOTHING


class NotStartedError(Exception):
    """The command was not started because the disk refused what starting needs. It may be retried."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"the server's disk refused to keep the command ({cause.strerror or cause})")
        self.cause = cause


class Executor(Protocol):
    """Runs jobs in one execution mode."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def run(self, execution: Execution) -> Outcome:
        """Run the job to its end, with its output in ``execution.log``. Raises `NotStartedError`.

        When cancelled, it ends the command with all its descendants, within the configured grace time, and
        then raises ``CancelledError``.
        """
        ...


class WarmWorker(Protocol):
    """A process for Runspace jobs: its `owner`, and its current job, if any."""

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
