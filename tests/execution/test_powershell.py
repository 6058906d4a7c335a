"""PowerShell: the text we generate is checked by a grammar everywhere, run wherever pwsh is."""

from __future__ import annotations

import shutil

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from aiohttp_jobs import InterpreterName
from aiohttp_jobs.execution.interpreters import RUNNER, _powershell, find_interpreters

from ..conftest import Host

WRAPPER = RUNNER.with_name("powershell.ps1")
needs_pwsh = pytest.mark.skipif(shutil.which("pwsh") is None, reason="pwsh is not on PATH")


def faults(node: Node) -> list[str]:
    own = [f"{node.type} at {node.start_point}"] if node.is_error or node.is_missing else []
    return own + [fault for child in node.children for fault in faults(child)]


def parse(text: bytes) -> Node:
    return Parser(Language(tree_sitter_powershell.language())).parse(text).root_node


def test_the_wrapper_is_powershell() -> None:
    assert faults(parse(WRAPPER.read_bytes())) == []


def test_the_grammar_would_find_a_fault() -> None:
    assert faults(parse(WRAPPER.read_bytes().replace(b"catch {", b"catch ((", 1)))


def test_the_wrapper_marks_errors_as_the_specification_does() -> None:
    text = WRAPPER.read_text()
    assert '"[ERROR] $($Line.Exception.Message)`n$($Line.ScriptStackTrace)"' in text
    assert "Invoke-Expression -Command $command 2>&1" in text


def test_the_command_line_is_non_interactive_and_names_a_file() -> None:
    arguments = _powershell("/usr/bin/pwsh").arguments(str(WRAPPER.with_name("command.ps1")))
    assert arguments[:4] == ["/usr/bin/pwsh", "-NoProfile", "-NonInteractive", "-File"]
    assert arguments[-2:] == [str(WRAPPER), str(WRAPPER.with_name("command.ps1"))]


async def test_powershell_that_is_not_installed_is_refused_with_those_that_are(host: Host) -> None:
    if InterpreterName.POWERSHELL in find_interpreters():
        pytest.skip("pwsh is on PATH")
    body = {"jobName": "j", "command": "1", "executionMode": "Runspace", "interpreter": "powershell"}
    answer = await host.caller("debug").request("POST", "/jobs/submit", json=body)
    assert answer.status == 422
    assert "installed are: python, shell" in answer.body["error"]


@needs_pwsh
@pytest.mark.parametrize("mode", ["MainLoop", "Runspace", "BackgroundJob"])
async def test_powershell_runs_and_its_errors_are_marked(host: Host, mode: str) -> None:
    caller = host.caller("debug")
    result = await caller.run("Write-Output 'hi'; 1 + 1", mode, interpreter="powershell")
    assert (result["Output"].split(), result["Success"]) == (["hi", "2"], True)
    result = await caller.run("Write-Output 'a'; throw 'boom'", mode, interpreter="powershell")
    assert "[ERROR] boom" in result["Output"]
    assert result["Success"] is False
