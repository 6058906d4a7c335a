"""A command as it is run: without what an editor of another system left in it, by what its first line names.

Every job comes this way, whichever door its command came through; what is stored and shown stays as it was
sent. Starting the programs is left to the execution modes.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Collection
from typing import NamedTuple

from ..model.job import InterpreterName
from .process.simple import SHELL

BYTE_ORDER_MARK = "\ufeff"
_WRITTEN_WITH_LF = frozenset({InterpreterName.SHELL, InterpreterName.BASH, InterpreterName.PYTHON})
_FIRST_LINE = re.compile(r"#![ \t]*([^ \t\n]+)(?:[ \t]+([^\n]*?))?[ \t]*(?:\n|$)")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_VERSION = re.compile(r"[0-9.]+$")
_STANDARD_FOLDERS = ("/bin", "/usr/bin", "/usr/local/bin")


class Command(NamedTuple):
    """What to run. `prefix` is the command line before the file, ``None`` for the interpreter's own."""

    text: str
    prefix: tuple[str, ...] | None = None


class InterpreterMissingError(Exception):
    """The first line names what cannot be used here; the message is a sentence that says so."""


def read_command(command: str, interpreter: InterpreterName, allowed: Collection[str], path: str) -> Command:
    """What `command`, sent for `interpreter`, stands for.

    The first line of a shell command may name a program (``#!/bin/bash``) out of `allowed`, which lies in
    a folder of `path` or of the system's. Raises `InterpreterMissingError`.
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
    """`command` without a byte order mark, and with line feeds alone if its first line ends with CR LF.

    A carriage return that only later lines have was put there on purpose, and stays.
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
