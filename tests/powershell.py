"""The PowerShell of the tests, and what those that run one say of a machine that has none."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_pwsh = pytest.mark.skipif(
    shutil.which("pwsh") is None,
    reason="PowerShell was not tried: pwsh is neither on PATH nor in ../shared/powershell",
)


@contextmanager
def short_lived_pwsh() -> Iterator[None]:
    """Have ``pwsh`` on PATH be the same one, but for .NET's habit of compiling anew what it has run 30 times.

    That pays in a process that goes on for minutes. Those of the tests end after a job or two, and spend
    a third of their processor time on it.
    """
    pwsh = shutil.which("pwsh")
    if pwsh is None:
        yield
        return
    path = os.environ["PATH"]
    with tempfile.TemporaryDirectory(prefix="pwsh-") as folder:
        program = Path(folder, "pwsh")
        program.write_text(f'#!/bin/sh\nDOTNET_TC_CallCounting=0 exec {shlex.quote(pwsh)} "$@"\n')
        for each in (program.parent, program):
            each.chmod(0o755)
        os.environ["PATH"] = f"{folder}{os.pathsep}{path}"
        yield
    os.environ["PATH"] = path
