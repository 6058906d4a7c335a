"""The enumerations of the specification, used by `job` and `schedule`.

Separate from these modules because the command line needs only the enumerations, and building the models
takes a tenth of a second.
"""

from __future__ import annotations

from enum import StrEnum


class ExecutionMode(StrEnum):
    """Where a command runs (specification, "Job Execution Modes")."""

    MAIN_LOOP = "MainLoop"
    RUNSPACE = "Runspace"
    BACKGROUND_JOB = "BackgroundJob"


class InterpreterName(StrEnum):
    """The program that runs a command."""

    SHELL = "shell"
    BASH = "bash"
    PYTHON = "python"
    POWERSHELL = "powershell"

    @property
    def absence(self) -> str:
        """A sentence, without its end, that says that the server does not have it, and how it was searched
        for.
        """
        sought = " (there is no pwsh on the PATH of the host)" if self is InterpreterName.POWERSHELL else ""
        return f"{self} is not installed on this server{sought}"


class JobStatus(StrEnum):
    """How a job ended. Only ``Succeeded`` goes with ``Success: true``."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    INTERRUPTED = "Interrupted"
    REJECTED = "Rejected"


class OverlapPolicy(StrEnum):
    """What to do when the previous job is still running."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class MisfirePolicy(StrEnum):
    """What to do about missed moments; `RUN_ONCE` runs the last of them."""

    SKIP = "skip"
    RUN_ONCE = "run_once"
