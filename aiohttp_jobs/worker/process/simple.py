"""Recognizes commands that need no shell, and runs them as ``/bin/sh`` would.

A shell starts a second process for the command in its file. If the shell has nothing to do, the command is
started directly; in any doubt, the shell runs it.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
class SimpleCommand:
    """One program with its arguments, the first of which is its name as it was written."""

    program: str
    arguments: tuple[str, ...]


def understood_shell() -> bool:
    """Whether ``/bin/sh`` is dash (of Debian and Ubuntu), whose behaviour is imitated here."""
    return Path(SHELL).resolve().name == "dash"


def simple_command(command: str, path: str) -> SimpleCommand | None:
    """What `command` runs, if it is one program and words without special meaning to a shell; else ``None``.

    A name without a slash is looked up in `path`, as the shell does.
    """
    match = _COMMAND.fullmatch(command)
    if match is None:
        return None
    name = match[1]
    program = name if name.startswith("/") else _find(name, path)
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


def _find(name: str, path: str) -> str | None:
    if not _NAME.fullmatch(name) or name in _OWN_WORDS:
        return None
    for folder in path.split(":"):
        if not folder.startswith("/") or "%" in folder:
            return None
        program = f"{folder}/{name}"
        if os.access(program, os.X_OK) and os.path.isfile(program):
            return program
    return None
