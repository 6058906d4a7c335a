"""The messages to processes that run functions. Their answers are parsed in ``worker.pool``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.job import format_utc
from ...system.jsontext import dumps
from ..base import Execution, FunctionCall
from ..process.process import INSTANCE_VARIABLE
from ..workspace import working_folder

_SCRIPT = Path(__file__).with_name("child.py")


def call_of(execution: Execution) -> FunctionCall:
    """The function call of `execution`. Raises ``ValueError`` for a command."""
    if execution.function is None:
        raise ValueError("a command is not run where functions are")
    return execution.function


def arguments(control: int, output: int) -> list[str]:
    """The command line of a process for functions, with its socket and the pipe for its output."""
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
    """``sys.path`` with absolute paths."""
    return [os.path.normpath(os.path.join(host_folder(), entry)) for entry in sys.path]


def host_folder() -> str:
    """The host's working folder."""
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return "/"


def greeting(modules: list[str]) -> bytes:
    """The message that makes a worker import `modules` and prepare."""
    return dumps({"path": host_path(), "modules": modules}) + b"\n"


def only_request(execution: Execution, known: Mapping[str, str]) -> bytes:
    """The message that makes a process run `execution` and exit."""
    return dumps({"path": host_path(), "modules": [], "request": request(execution, known)}) + b"\n"


def request(execution: Execution, known: Mapping[str, str]) -> dict[str, Any]:
    """The message that makes a process run a job; `known` is the process's own environment."""
    call = call_of(execution)
    function = call.function
    return {
        "module": function.module,
        "qualname": function.qualname,
        "values": dict(call.values),
        "context": _context(execution, call) if function.signature.takes_context else None,
        "folder": working_folder(execution),
        "environment": {
            name: value
            for name, value in execution.environment.items()
            if known.get(name) != value and name != INSTANCE_VARIABLE
        },
    }


def _context(execution: Execution, call: FunctionCall) -> dict[str, Any]:
    """What a function that asks for its job is told of it."""
    return {
        "id": execution.job_id,
        "user": execution.user_id,
        "attempt": call.attempt,
        "deadline": format_utc(call.deadline),
    }
