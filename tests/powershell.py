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

_SHORT_LIVED = (
    "DOTNET_JITMinOpts=1 DOTNET_TC_CallCounting=0 DOTNET_TieredPGO=0 "
    "DOTNET_gcConcurrent=0 DOTNET_EnableWriteXorExecute=0"
)


@contextmanager
def short_lived_pwsh() -> Iterator[None]:
    """Have ``pwsh`` on PATH be the same one, but for what .NET spends so that it will be fast later.

    That pays in a process that goes on for minutes. Those of the tests end after a job or two: to compile
    anew what has run 30 times takes a third of their processor time, and to compile well what PowerShell
    makes of scripts a tenth of what is left. A thread for collecting garbage that hardly begins to work, and
    each page of compiled code mapped twice, are a twentieth of a start.
    """
    pwsh = shutil.which("pwsh")
    if pwsh is None:
        yield
        return
    path = os.environ["PATH"]
    with tempfile.TemporaryDirectory(prefix="pwsh-") as folder:
        program = Path(folder, "pwsh")
        program.write_text(f'#!/bin/sh\n{_SHORT_LIVED} exec {shlex.quote(pwsh)} "$@"\n')
        for each in (program.parent, program):
            each.chmod(0o755)
        os.environ["PATH"] = f"{folder}{os.pathsep}{path}"
        yield
    os.environ["PATH"] = path
