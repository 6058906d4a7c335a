"""PowerShell's output is what a console shows: the same script, run here and by a ``pwsh`` of its own."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ..conftest import Host
from ..powershell import needs_pwsh
from .powershell_oracle import answer
from .powershell_scripts import SCRIPTS

MODES = ("MainLoop", "Runspace")
"""Whose workers take all scripts one after the other; each script twice in one of them, in turn."""
GROUPS = 2
OF_ITS_OWN = 40
"""Each so many-th script is a BackgroundJob too: the same session in a new process, which takes a second."""
ENDINGS = ("exit", "return", "break", "last program", "another script", "pester")
"""In the names of scripts whose way to end may be the process's: they are one, too."""
ORACLE_WIDTH = 80
"""What .NET takes for the width where there is no terminal."""
_PROGRESS = re.compile(r"\x1b\]9;4;[^\x07]*\x07")
"""What a pwsh without a terminal does not show."""
pytestmark = needs_pwsh


@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.timeout(900)
async def test_output_and_exit_code_are_those_of_a_pwsh_of_its_own(
    start_host: Callable[..., Awaitable[Host]], tmp_path: Path, group: int
) -> None:
    host = await start_host(powershell_width=ORACLE_WIDTH)
    caller = host.caller("debug")
    for number, name in list(enumerate(SCRIPTS))[group::GROUPS]:
        output, code = await answer(name, tmp_path)
        if code:
            output += f"[ERROR] The command exited with code {code}.\n"
        is_shown_by_its_own = number % OF_ITS_OWN == 0 or any(each in name for each in ENDINGS)
        modes = (*MODES, MODES[number // GROUPS % len(MODES)])
        for mode in (*modes, "BackgroundJob") if is_shown_by_its_own else modes:
            result = await caller.run(SCRIPTS[name], mode, interpreter="powershell")
            shown = _PROGRESS.sub("", result["Output"])
            assert (shown, result["ExitCode"]) == (output, code), f"{name}, {mode}"


async def test_a_table_that_waits_for_its_width_is_shown_when_the_script_ends_early(host: Host) -> None:
    early = ("exit 5", "throw 'x'")
    modes = [(mode, ending) for mode in ("MainLoop", "Runspace") for ending in early]
    for mode, ending in (*modes, ("BackgroundJob", "exit 5")):
        command = f"[pscustomobject]@{{A = 1}}; 'after'; {ending}"
        result = await host.caller("debug").run(command, mode, interpreter="powershell")
        assert result["Output"].splitlines()[:5] == ["", "A", "-", "1", "after"], (mode, ending)


async def test_tables_are_as_wide_as_configured(start_host: Callable[..., Awaitable[Host]]) -> None:
    command = "[Console]::BufferWidth; [pscustomobject]@{A = 'x' * 300} | Format-Table"
    for width, mode in ((120, "Runspace"), (40, "MainLoop")):  # each process is told it as it starts
        host = await start_host(powershell_width=width)
        result = await host.caller("debug").run(command, mode, interpreter="powershell")
        lines = result["Output"].splitlines()
        assert lines[0] == str(width), mode
        assert max(map(len, lines)) == width - 1, mode  # as in a console
        await host.stop()


async def test_each_object_is_its_text_where_that_is_asked_for(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host(powershell_output="text")
    command = (
        "[pscustomobject]@{A = 1}; 1.5; $null; @{a = 1}; sh -c 'echo native'; Get-Item /usr; Get-Item /nope"
    )
    for mode in ("MainLoop", "Runspace"):
        result = await host.caller("debug").run(command, mode, interpreter="powershell")
        lines = result["Output"].splitlines()
        assert lines[:5] == ["", "1.5", "System.Collections.Hashtable", "native", "/usr"], mode
        assert lines[5].startswith("[ERROR] Cannot find path '/nope'"), mode


async def test_powershell_colours_nothing_and_leaves_a_job_the_choice(host: Host) -> None:
    caller = host.caller("debug")
    command = "Write-Warning 'w'; [pscustomobject]@{A = 1}; Get-ChildItem /usr | Select-Object -First 1"
    plain = await caller.run(command, "Runspace", interpreter="powershell")
    assert "\x1b" not in plain["Output"]
    coloured = await caller.run(
        f"$PSStyle.OutputRendering = 'Ansi'; {command}", "Runspace", interpreter="powershell"
    )
    assert "\x1b[33;1mWARNING: w" in coloured["Output"]
    again = await caller.run(command, "Runspace", interpreter="powershell")
    assert again["Output"] == plain["Output"]
