"""Which program runs a command: an installed interpreter, the one that its first line names, or, if it needs
no shell, the one that it starts.

Applies to every job, however it was submitted; what is stored and shown is not changed. A command is passed
in a file, never on the command line, which ``ps`` shows to every user.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..model.job import InterpreterName
from .base import Execution

_FOUND_OTHERWISE = frozenset({InterpreterName.PYTHON, InterpreterName.POWERSHELL, InterpreterName.SHELL})
RUNNER = Path(__file__).with_name("child")
OLDEST_POWERSHELL = (7, 2)
BYTE_ORDER_MARK = "\ufeff"
_WRITTEN_WITH_LF = frozenset({InterpreterName.SHELL, InterpreterName.BASH, InterpreterName.PYTHON})
_FIRST_LINE = re.compile(r"#![ \t]*([^ \t\n]+)(?:[ \t]+([^\n]*?))?[ \t]*(?:\n|$)")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_VERSION = re.compile(r"[0-9.]+$")
_STANDARD_FOLDERS = ("/bin", "/usr/bin", "/usr/local/bin")
SHELL = "/bin/sh"
_PLAIN = "A-Za-z0-9_@%+:,./-"
# Printable ASCII only: what a shell makes of other bytes is its own affair.
_PIECE = rf"(?:[={_PLAIN}]|'[ -&(-~]*'|\"[ !#%-[\]-_a-~]*\")"
_COMMAND = re.compile(rf"[ \t]*([{_PLAIN}]+)((?:[ \t]+{_PIECE}+)*)[ \t\n]*")
_WORD = re.compile(rf"{_PIECE}+")
_QUOTED = re.compile("'([^']*)'|\"([^\"]*)\"")
_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_.+-]*")
_OWN_WORDS = frozenset(
    re.split(
        r"\s+",
        """. : [ [[ ]] alias bg bind break builtin caller case cd chdir command compgen complete compopt
        continue coproc declare dirs disown do done echo elif else enable esac eval exec exit export false
        fc fg fi for function getopts hash help history if in jobs kill let local logout mapfile popd print
        printf pushd pwd read readarray readonly return select set shift shopt source suspend test then
        time times trap true type typeset ulimit umask unalias unset until wait whence while""",
    )
)
"""Built into some shell, or a keyword of one."""


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


class Command(NamedTuple):
    """What to run. `prefix` is the command line before the file; ``None`` means the interpreter's own."""

    text: str
    prefix: tuple[str, ...] | None = None


class InterpreterMissingError(Exception):
    """The first line names a program that cannot be used here. The message is a sentence for the owner."""


def read_command(command: str, interpreter: InterpreterName, allowed: Collection[str], path: str) -> Command:
    """Parse `command`, which was submitted for `interpreter`.

    The first line of a shell command may name a program (``#!/bin/bash``) in `allowed` that is found in
    `path` or a system folder. Raises `InterpreterMissingError`.
    """
    text = normalised(command, interpreter)
    if interpreter is not InterpreterName.SHELL:
        return Command(text)
    match = _FIRST_LINE.match(text)
    if match is None:
        return Command(text)
    folders = list(dict.fromkeys([*filter(os.path.isabs, path.split(os.pathsep)), *_STANDARD_FOLDERS]))
    return Command(text, _command_line(match[1], match[2] or "", allowed, folders))


def normalised(command: str, interpreter: InterpreterName) -> str:
    """`command` without a byte order mark, and with LF line ends if its first line ends with CR LF.

    Carriage returns only in later lines were put there on purpose, and stay.
    """
    text = command.removeprefix(BYTE_ORDER_MARK)
    if interpreter in _WRITTEN_WITH_LF and text.partition("\n")[0].endswith("\r"):
        text = text.replace("\r\n", "\n")
    return text


def _command_line(
    program: str, argument: str, allowed: Collection[str], folders: list[str]
) -> tuple[str, ...] | None:
    """The command line that the first line asks for; ``None`` when that is the shell's own."""
    if os.path.basename(program) == "env":
        assignments, name, arguments = _env_words(argument)
    else:
        assignments, name, arguments = [], program, [argument] if argument else []
    found = _find(name, allowed, folders)
    if found is None:
        raise InterpreterMissingError(_missing(name or program, allowed, folders))
    line = (found, *arguments)
    if assignments:
        env = _find("env", ("env",), folders) or program
        return (env, *assignments, *line)
    return None if line == (SHELL,) else line


def _env_words(argument: str) -> tuple[list[str], str, list[str]]:
    """What ``env`` is told: variables to set, the program's name, and its arguments."""
    text = re.sub(r"^(?:-S|--split-string=?)[ \t]*", "", argument)
    try:
        words = shlex.split(text)
    except ValueError:
        return [], argument, []
    assignments = []
    while words and _ASSIGNMENT.match(words[0]):
        assignments.append(words.pop(0))
    return assignments, words[0] if words else "", words[1:]


def _find(name: str, allowed: Collection[str], folders: list[str]) -> str | None:
    """The program with this name or path, if it may be used and is there."""
    folder, base = os.path.split(name)
    if not _is_allowed(base, allowed) or (folder and folder not in folders):
        return None
    return shutil.which(name if folder else base, path=os.pathsep.join(folders))


def _is_allowed(name: str, allowed: Collection[str]) -> bool:
    """With or without its version: ``python`` allows ``python3`` and ``python3.11``."""
    return bool(name) and (name in allowed or _VERSION.sub("", name) in allowed)


def _missing(name: str, allowed: Collection[str], folders: list[str]) -> str:
    there = [each for each in sorted(allowed) if shutil.which(each, path=os.pathsep.join(folders))]
    return (
        f"The first line of the command names {name}, which is not installed on this server or not allowed "
        f"as an interpreter. There are: {', '.join(there) or 'none'}."
    )


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    """One program with its arguments, the first of which is its name as it was written."""

    program: str
    arguments: tuple[str, ...]


def understood_shell() -> bool:
    """Whether ``/bin/sh`` is dash (of Debian and Ubuntu), whose behaviour is imitated here."""
    return Path(SHELL).resolve().name == "dash"


def simple_command(command: str, path: str) -> SimpleCommand | None:
    """What `command` runs, if it is one program and words without special meaning to a shell; else ``None``.

    The shell would start a second process for it, so it is started directly; in any doubt, the shell runs it.
    A name without a slash is looked up in `path`, as the shell does.
    """
    match = _COMMAND.fullmatch(command)
    if match is None:
        return None
    name = match[1]
    program = name if name.startswith("/") else _program_named(name, path)
    if program is None:
        return None
    words = (_QUOTED.sub(lambda found: found[1] or found[2] or "", word) for word in _words(match[2]))
    return SimpleCommand(program, (name, *words))


def shell_environment(environment: Mapping[str, str], folder: str) -> dict[str, str]:
    """The variables that a shell with `environment` in `folder`, a path without links, passes to a
    command.
    """
    passed = {name: value for name, value in environment.items() if name.isascii() and name.isidentifier()}
    passed["PWD"] = folder
    return passed


def shell_exit(code: int) -> tuple[int, str]:
    """The exit code of a shell whose command ended with `code`, and what the shell prints then."""
    if code >= 0:
        return code, ""
    silent = -code in (signal.SIGINT, signal.SIGPIPE)
    return 128 - code, "" if silent else f"{signal.strsignal(-code)}\n"


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _program_named(name: str, path: str) -> str | None:
    if not _NAME.fullmatch(name) or name in _OWN_WORDS:
        return None
    for folder in path.split(":"):
        if not folder.startswith("/") or "%" in folder:
            return None
        program = f"{folder}/{name}"
        if os.access(program, os.X_OK) and os.path.isfile(program):
            return program
    return None
