"""Starting a child process in a session of its own, with less work than ``subprocess.Popen`` makes of it.

The child is reaped by the caller.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_MOST_ERROR = 4096


def _known_fork_exec() -> Any:
    """Python's own, private way, in the versions where it takes what is handed to it here."""
    if sys.version_info[:2] in {(3, 11), (3, 12), (3, 13)}:
        with contextlib.suppress(ImportError):  # another Python than CPython
            return importlib.import_module("_posixsubprocess").fork_exec
    return None


_fork_exec = _known_fork_exec()


def spawn(
    arguments: Sequence[str | Path],
    *,
    program: str,
    environment: Mapping[str, str],
    folder: str,
    output: int,
    pass_fds: Sequence[int] = (),
) -> int:
    """Start `program` in `folder`, with both its output streams on the descriptor `output`, stdin empty.

    Of other descriptors it gets those in `pass_fds`. Its process id. Raises ``OSError`` when it cannot
    be started.
    """
    if _fork_exec is not None and output > 2:
        pid = _spawn_directly(arguments, program, environment, folder, output, pass_fds)
        if pid is not None:
            return pid
    return spawn_by_popen(
        arguments,
        program=program,
        environment=environment,
        folder=folder,
        output=output,
        pass_fds=pass_fds,
    )


def spawn_by_popen(
    arguments: Sequence[str | Path],
    *,
    program: str,
    environment: Mapping[str, str],
    folder: str,
    output: int,
    pass_fds: Sequence[int] = (),
) -> int:
    """The same where the direct way is not known, or not open; and for its errors, in its words."""
    child = subprocess.Popen(
        arguments,
        executable=program,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )
    child.returncode = 0  # or else it would be reaped a second time, under a number that is free again
    return child.pid


def _spawn_directly(
    arguments: Sequence[str | Path],
    program: str,
    environment: Mapping[str, str],
    folder: str,
    output: int,
    pass_fds: Sequence[int],
) -> int | None:
    """``None`` when it is not started: what is wrong is left to be said by the slower way."""
    if "/" not in program:
        return None
    encode = os.fsencode
    variables = [encode(f"{name}={value}") for name, value in environment.items() if "=" not in name]
    opened: list[int] = []
    try:
        opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        opened.extend(os.pipe())
        nothing, failed, fails = opened
        if min(opened) < 3:
            return None  # the host has closed its own standard streams
        pid: int = _fork_exec(
            list(map(encode, arguments)),
            (encode(program),),
            True,  # close all descriptors but these
            tuple(sorted((*pass_fds, fails))),
            encode(folder),
            variables,
            *(nothing, -1, -1, output, -1, output, failed, fails),
            True,  # the default signal handling where Python has changed it
            True,  # a new session
            *(-1, None, None, None, -1, None),
            True,  # vfork
        )
        os.close(opened.pop())
        if os.read(failed, _MOST_ERROR):
            os.waitpid(pid, 0)
            return None
        return pid
    finally:
        for descriptor in opened:
            os.close(descriptor)
