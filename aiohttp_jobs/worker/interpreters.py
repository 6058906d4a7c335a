"""The installed interpreters, and the command line that runs a file with each.

A command is always passed in a file, never on the command line, which ``ps`` shows to every user.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..model.job import InterpreterName
from .base import Execution
from .commands import SHELL

_FOUND_OTHERWISE = frozenset({InterpreterName.PYTHON, InterpreterName.POWERSHELL, InterpreterName.SHELL})
RUNNER = Path(__file__).with_name("child")
OLDEST_POWERSHELL = (7, 2)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`prefix` is the command line to which the path of the command's file is appended."""

    name: InterpreterName
    prefix: tuple[str, ...]
    suffix: str = ""

    def arguments(self, command_file: str) -> list[str]:
        return [*self.prefix, command_file]


def _powershell(program: str) -> Interpreter:
    policy = ("-ExecutionPolicy", "Bypass") if os.name == "nt" else ()
    return Interpreter(
        InterpreterName.POWERSHELL,
        (program, "-NoProfile", "-NonInteractive", *policy, "-File"),
        ".ps1",
    )


def find_interpreters() -> Mapping[InterpreterName, Interpreter]:
    """The interpreters that are installed on this machine, each found by its name unless configured
    otherwise.
    """
    found = [
        Interpreter(
            InterpreterName.PYTHON,
            (sys.executable, "-I", "-u", "-X", "utf8", str(RUNNER)),
            ".py",
        )
    ]
    powershell = shutil.which("pwsh") or (shutil.which("powershell") if os.name == "nt" else None)
    if powershell:
        found.append(_powershell(powershell))
    if os.path.exists(SHELL):
        found.append(Interpreter(InterpreterName.SHELL, (SHELL,)))
    elif powershell:
        shell = _powershell(powershell)
        found.append(Interpreter(InterpreterName.SHELL, shell.prefix, shell.suffix))
    for name in InterpreterName:
        if name not in _FOUND_OTHERWISE and (program := shutil.which(name)):
            found.append(Interpreter(name, (program,)))
    return {interpreter.name: interpreter for interpreter in found}


def interpreter_for(execution: Execution, found: Mapping[InterpreterName, Interpreter]) -> Interpreter:
    """The interpreter for a job: one of `found`, or what the command's first line names."""
    if execution.prefix is not None:
        return Interpreter(execution.interpreter, execution.prefix)
    return found[execution.interpreter]
