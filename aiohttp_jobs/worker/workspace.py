"""The files a job runs with: its command, and the folder it works in."""

from __future__ import annotations

import os
from typing import NamedTuple

from ..system.guarded_files import open_in_place
from .base import WORK, Execution, NotStartedError
from .interpreters import Interpreter


class Workspace(NamedTuple):
    command_file: str
    folder: str


def prepare(execution: Execution, interpreter: Interpreter) -> Workspace:
    """Write the command where `interpreter` will read it (0600).

    It goes with the job's folder when the job ends. Blocks, but for less than the fork that follows. Raises
    `NotStartedError` when the disk refuses.
    """
    command_file, folder = planned(execution, interpreter)
    try:
        descriptor = open_in_place(command_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            rest = memoryview(execution.command.encode())
            while rest:
                rest = rest[file.write(rest) :]
    except OSError as error:
        raise NotStartedError(error) from error
    return Workspace(command_file, folder)


def planned(execution: Execution, interpreter: Interpreter) -> Workspace:
    """The same for a command that is handed over in another way: without its file."""
    return Workspace(f"{execution.job_dir}/command{interpreter.suffix}", working_folder(execution))


def working_folder(execution: Execution) -> str:
    """The folder that the command finds itself in."""
    return f"{execution.job_dir}/{WORK}"
