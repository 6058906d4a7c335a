"""The words of the specification, which `job` and `schedule` make shapes of.

The command line offers them without the shapes: those take a tenth of a second to build.
"""

from __future__ import annotations

from enum import StrEnum


class ExecutionMode(StrEnum):
    """Where a command runs (specification, "Job Execution Modes")."""

    MAIN_LOOP = "MainLoop"
    RUNSPACE = "Runspace"
    BACKGROUND_JOB = "BackgroundJob"


class InterpreterName(StrEnum):
    """What reads the command."""

    SHELL = "shell"
    BASH = "bash"
    PYTHON = "python"
    POWERSHELL = "powershell"

    @property
    def absence(self) -> str:
        """That a server has not got it, and how it was looked for; a sentence without its end."""
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
    """What happens when the job of the moment before has not ended yet."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class MisfirePolicy(StrEnum):
    """What happens to moments that passed while nobody could fire them; `RUN_ONCE` makes up for the last."""

    SKIP = "skip"
    RUN_ONCE = "run_once"
