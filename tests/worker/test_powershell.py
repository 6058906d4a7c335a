"""PowerShell, run by a real ``pwsh`` in each mode: its output, its errors, its exit codes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from aiohttp_jobs.worker.interpreters import RUNNER

from ..conftest import Host, one_for_all
from ..powershell import needs_pwsh

MODES = ("MainLoop", "Runspace", "BackgroundJob")
pytestmark = [
    needs_pwsh,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]
LINE_1, LINE_2, LINE_3 = (f"at <ScriptBlock>, <command>: line {number}" for number in (1, 2, 3))
GONE = "[ERROR] Cannot find path '/nope' because it does not exist."
EXITED = "[ERROR] The command exited with code {}."
CASES: list[tuple[str, int, list[str]]] = [
    # command, exit code, lines of the output
    ("Write-Output 'hi'; 1 + 1", 0, ["hi", "2"]),
    ("Get-Item /nope; 'after'", 1, [GONE, LINE_1, "after", EXITED.format(1)]),
    ("'a'\nWrite-Error 'mine'\n'b'", 1, ["a", "[ERROR] mine", LINE_2, "b", EXITED.format(1)]),
    (
        "1/0\n[int]'x'; 'after'",
        1,
        [
            *("[ERROR] Attempted to divide by zero.", LINE_1),
            '[ERROR] Cannot convert value "x" to type "System.Int32". Error: '
            "\"The input string 'x' was not in a correct format.\"",
            *(LINE_2, "after", EXITED.format(1)),
        ],
    ),
    (
        "function f { Write-Error 'deep' }\n\nf",
        1,
        ["[ERROR] deep", "at f, <command>: line 1", LINE_3, EXITED.format(1)],
    ),
    ("'a'\nthrow 'boom'\n'b'", 1, ["a", "[EXCEPTION] boom", LINE_2, EXITED.format(1)]),
    (
        "& { $ErrorActionPreference = 'Stop'\n'a'\nGet-Item /nope\n'b' }",
        1,
        ["a", GONE.replace("ERROR", "EXCEPTION"), LINE_3, LINE_1, EXITED.format(1)],
    ),
    ("'a'; exit 5", 5, ["a", EXITED.format(5)]),
    ("function f { exit 6 }; f; 'never'", 6, [EXITED.format(6)]),
    ("/bin/sh -c 'exit 3'; 'after'", 3, ["after", EXITED.format(3)]),
    ("/bin/sh -c 'echo to stderr >&2'; 'after'", 0, ["to stderr", "after"]),
    (
        "Write-Host -NoNewline 'a'; Write-Host 'b'; 'c'; Write-Warning 'd'; 'é'",
        0,
        ["ab", "c", "WARNING: d", "é"],
    ),
    (
        "try { throw 'x' } catch { 'caught' }; Get-Item /nope 2>$null; /bin/sh -c 'exit 1'; exit 0",
        0,
        ["caught"],
    ),
]


ENDINGS = [
    case for case in CASES if case[0].startswith(("'a'; exit", "'a'\nthrow", "/bin/sh -c 'exit", "try"))
]
"""Whose way to end might be their process's. A process for each of the others would show the same again."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """A host whose processes are started once for all tests."""
    async with one_for_all(tmp_path_factory.mktemp("shared")) as host:
        yield host


@pytest.mark.parametrize("mode", MODES)
async def test_output_errors_and_exit_codes_are_what_powershell_says(shared: Host, mode: str) -> None:
    caller = shared.caller("debug")
    assert len(ENDINGS) == 4
    for command, code, lines in ENDINGS if mode == "BackgroundJob" else CASES:
        result = await caller.run(command, mode, interpreter="powershell")
        assert result["Output"].splitlines() == lines, command
        assert (result["ExitCode"], result["Success"]) == (code, code == 0), command


async def test_a_command_that_cannot_be_run_says_why_and_where(shared: Host) -> None:
    caller = shared.caller("debug")
    for command, sentence in (
        ("'a'\n\nif (\n", "At <command>:3 char:5"),
        ("#requires -Version 99\n'a'", '"#requires" statement for PowerShell 99.0'),
    ):
        result = await caller.run(command, "Runspace", interpreter="powershell")
        assert result["Output"].startswith("[EXCEPTION] ")
        assert sentence in result["Output"]
        assert (result["Success"], result["ExitCode"]) == (False, 1)


async def test_no_error_tells_where_the_host_keeps_its_files(shared: Host) -> None:
    caller = shared.caller("debug")
    errors = ["throw 'x'", "Write-Error 'x'", "if (", "Get-Item /nope", "[int]'x'"]
    for command in errors:
        result = await caller.run(command, "Runspace", interpreter="powershell")
        assert result["Success"] is False
        for path in (RUNNER, shared.config.data_dir):
            assert str(Path(path).resolve()) not in result["Output"]


async def test_what_stands_at_the_top_of_a_script_is_taken(shared: Host) -> None:
    command = "using namespace System.IO\nparam([int] $times = 2)\n[Path]::GetFileName('/a/b') * $times"
    result = await shared.caller("debug").run(command, "Runspace", interpreter="powershell")
    assert (result["Output"], result["Success"]) == ("bb\n", True)
