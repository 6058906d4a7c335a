"""What a job runs with: its variables, its command's file, and the folder it works in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from ..config import JobsConfig
from ..model.job import Submission
from ..system.guarded_files import open_in_place
from .base import WORK, Execution, NotStartedError
from .interpreters import Interpreter
from .process.process import INSTANCE_VARIABLE, JOB_VARIABLE


class Workspace(NamedTuple):
    command_file: str
    folder: str


def prepare(execution: Execution, interpreter: Interpreter) -> Workspace:
    """Write the command to a file for `interpreter` (0600). It is removed with the job's folder.

    Blocks, but for less than the fork that follows. Raises `NotStartedError` when the disk refuses it.
    """
    return prepare_in(execution.job_dir, execution.command, interpreter)


def prepare_in(job_dir: str, command: str, interpreter: Interpreter) -> Workspace:
    """The same for a job in the folder `job_dir` that does not run yet."""
    command_file, folder = _places(job_dir, interpreter)
    try:
        descriptor = open_in_place(command_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            rest = memoryview(command.encode())
            while rest:
                rest = rest[file.write(rest) :]
    except OSError as error:
        raise NotStartedError(error) from error
    return Workspace(command_file, folder)


def planned(execution: Execution, interpreter: Interpreter) -> Workspace:
    """The same for a command that is passed in another way, without its file."""
    return _places(execution.job_dir, interpreter)


def _places(job_dir: str, interpreter: Interpreter) -> Workspace:
    return Workspace(f"{job_dir}/command{interpreter.suffix}", f"{job_dir}/{WORK}")


def working_folder(execution: Execution) -> str:
    """The folder in which the command starts."""
    return f"{execution.job_dir}/{WORK}"


def base_environment(config: JobsConfig, instance_id: str) -> dict[str, str]:
    """What every job of this process gets."""
    allowed = {name: os.environ[name] for name in config.environment_allow if name in os.environ}
    return {
        "PATH": os.defpath,
        **allowed,
        **config.environment_extra,
        INSTANCE_VARIABLE: instance_id,
    }


def job_environment(base: Mapping[str, str], submission: Submission) -> dict[str, str]:
    """What this job gets, the names under which it can find out about itself included."""
    environment = {
        **base,
        JOB_VARIABLE: submission.job_id,
        "AIOHTTP_JOBS_JOB_NAME": submission.job_name,
        "AIOHTTP_JOBS_ATTEMPT": str(submission.attempt),
        "AIOHTTP_JOBS_USER_ID": submission.user_id,
    }
    if submission.traceparent is not None:
        environment["TRACEPARENT"] = submission.traceparent
    if submission.tracestate is not None:
        environment["TRACESTATE"] = submission.tracestate
    return environment
