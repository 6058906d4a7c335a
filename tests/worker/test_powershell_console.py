"""PowerShell's output is what a console shows: the same script, run here and by a ``pwsh`` of its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from ..conftest import Host, one_for_all
from ..powershell import needs_pwsh
from .powershell_oracle import answer
from .powershell_scripts import SCRIPTS

MODES = ("MainLoop", "Runspace")
"""Whose workers take all scripts one after the other; each script twice in one of them, in turn."""
GROUPS = 2
OF_ITS_OWN = {"texts", "exit by text", "return", "break at the top"}
"""They are a BackgroundJob too: the same session in a new process, which takes a second. A way to end may be
the process's, where ``test_powershell`` does not try it there."""
DEAR = ("pester", "a job", "a thread job")
"""Scripts that take a processor for one second or two: they are run once, in one of `MODES`."""
ORACLE_WIDTH = 80
"""What .NET takes for the width where there is no terminal."""
_PROGRESS = re.compile(r"\x1b\]9;4;[^\x07]*\x07")
"""What a pwsh without a terminal does not show."""
pytestmark = needs_pwsh
in_one_loop = pytest.mark.asyncio(loop_scope="module")
"""Of the tests that share a host."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """A host whose processes are started once for all such tests."""
    async with one_for_all(tmp_path_factory.mktemp("shared"), powershell_width=ORACLE_WIDTH) as host:
        yield host


@in_one_loop
@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.timeout(900)
async def test_output_and_exit_code_are_those_of_a_pwsh_of_its_own(
    shared: Host, tmp_path: Path, group: int
) -> None:
    caller = shared.caller("debug")
    for number, name in list(enumerate(SCRIPTS))[group::GROUPS]:
        output, code = await answer(name, tmp_path)
        if code:
            output += f"[ERROR] The command exited with code {code}.\n"
        in_turn = MODES[number // GROUPS % len(MODES)]
        modes = (in_turn,) if name in DEAR else (*MODES, in_turn)
        for mode in (*modes, "BackgroundJob") if name in OF_ITS_OWN else modes:
            result = await caller.run(SCRIPTS[name], mode, interpreter="powershell")
            shown = _PROGRESS.sub("", result["Output"])
            assert (shown, result["ExitCode"]) == (output, code), f"{name}, {mode}"


@in_one_loop
async def test_a_table_that_waits_for_its_width_is_shown_when_the_script_ends_early(shared: Host) -> None:
    for mode in MODES:
        for ending in ("exit 5", "throw 'x'"):
            command = f"[pscustomobject]@{{A = 1}}; 'after'; {ending}"
            result = await shared.caller("debug").run(command, mode, interpreter="powershell")
            assert result["Output"].splitlines()[:5] == ["", "A", "-", "1", "after"], (mode, ending)


async def test_tables_are_as_wide_as_configured(start_host: Callable[..., Awaitable[Host]]) -> None:
    command = "[Console]::BufferWidth; [pscustomobject]@{A = 'x' * 300} | Format-Table"
    host = await start_host(powershell_width=120)  # 80 is that of the scripts above
    result = await host.caller("debug").run(command, "MainLoop", interpreter="powershell")
    lines = result["Output"].splitlines()
    assert lines[0] == "120"
    assert max(map(len, lines)) == 120 - 1  # as in a console


async def test_each_object_is_its_text_where_that_is_asked_for(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host(powershell_output="text")
    command = (
        "[pscustomobject]@{A = 1}; 1.5; $null; @{a = 1}; sh -c 'echo native'; Get-Item /usr; Get-Item /nope"
    )
    result = await host.caller("debug").run(command, "Runspace", interpreter="powershell")
    lines = result["Output"].splitlines()
    assert lines[:5] == ["", "1.5", "System.Collections.Hashtable", "native", "/usr"]
    assert lines[5].startswith("[ERROR] Cannot find path '/nope'")


@in_one_loop
async def test_powershell_colours_nothing_and_leaves_a_job_the_choice(shared: Host) -> None:
    caller = shared.caller("debug")
    command = "Write-Warning 'w'; [pscustomobject]@{A = 1}; Get-ChildItem /usr | Select-Object -First 1"
    plain = await caller.run(command, "Runspace", interpreter="powershell")
    assert "\x1b" not in plain["Output"]
    coloured = await caller.run(
        f"$PSStyle.OutputRendering = 'Ansi'; {command}", "Runspace", interpreter="powershell"
    )
    assert "\x1b[33;1mWARNING: w" in coloured["Output"]
    again = await caller.run(command, "Runspace", interpreter="powershell")
    assert again["Output"] == plain["Output"]
