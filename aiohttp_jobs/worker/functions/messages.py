"""What the processes of functions are told; what they answer is read in ``pool``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from ...model.job import format_utc
from ...system.jsontext import dumps
from ..base import Execution, FunctionCall
from ..interpreters import RUNNER
from ..process.process import INSTANCE_VARIABLE
from ..workspace import working_folder

_SCRIPT = RUNNER / "functions.py"


def call_of(execution: Execution) -> FunctionCall:
    """The function that `execution` calls. Raises ``ValueError`` for a command, which is not run here."""
    if execution.function is None:
        raise ValueError("a command is not run where functions are")
    return execution.function


def arguments(control: int, output: int) -> list[str]:
    """The command line of a process for functions, given its socket and the pipe for its output."""
    return [
        sys.executable,
        "-P",
        "-u",
        "-X",
        "utf8",
        str(_SCRIPT),
        str(control),
        str(output),
        str(os.getpid()),
    ]


def host_path() -> list[str]:
    """``sys.path``, from wherever it is looked at."""
    return [os.path.normpath(os.path.join(host_folder(), entry)) for entry in sys.path]


def host_folder() -> str:
    """The folder that the host is in."""
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return "/"


def greeting(modules: list[str]) -> bytes:
    """Has a worker import `modules`, and get ready."""
    return dumps({"path": host_path(), "modules": modules}) + b"\n"


def only_request(execution: Execution, known: Mapping[str, str]) -> bytes:
    """Has a process run `execution` and end."""
    return dumps({"path": host_path(), "modules": [], "request": request(execution, known)}) + b"\n"


def request(execution: Execution, known: Mapping[str, str]) -> dict[str, Any]:
    """What a process is told to run, whose own environment is `known`."""
    call = call_of(execution)
    return {
        "module": call.module,
        "qualname": call.qualname,
        "values": dict(call.values),
        "job_id": execution.job_id,
        "user": execution.user_id,
        "attempt": call.attempt,
        "deadline": format_utc(call.deadline),
        "folder": working_folder(execution),
        "environment": {
            name: value
            for name, value in execution.environment.items()
            if known.get(name) != value and name != INSTANCE_VARIABLE
        },
    }
