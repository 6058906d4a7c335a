# ruff: noqa: E501 - the examples as they are
"""The specification's own examples, run as they are written there, where PowerShell is what runs commands."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from ..conftest import Caller, one_for_all
from ..powershell import needs_pwsh

pytestmark = [
    needs_pwsh,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]
MODES = ("MainLoop", "Runspace", "BackgroundJob")
LASTING = ("MainLoop", "Runspace")
"""Whose processes take another job: where one of its own shows nothing else, as ``test_powershell`` says."""
ELAPSED = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Caller]:
    """Somebody whose commands are PowerShell's; one host for all examples, as each mode's process is a second."""

    async with one_for_all(tmp_path_factory.mktemp("examples"), default_interpreter="powershell") as host:
        yield host.caller("debug")


async def submitted(caller: Caller, name: str, command: str, mode: str) -> dict[str, Any]:
    """The result of a job that names no interpreter."""
    body = {
        "jobName": name,
        "command": command,
        "description": "from the specification",
        "executionMode": mode,
    }
    answer = await caller.request("POST", "/jobs/submit?wait=60", json=body)
    assert answer.status == 200, answer.body
    assert (answer.body["success"], answer.body["executionMode"]) == (True, mode)
    result: dict[str, Any] = answer.body["result"] or await caller.result(answer.body["jobId"])
    return result


async def test_submit_job(caller: Caller) -> None:
    for mode in MODES:
        result = await submitted(caller, "MyTestJob", "Get-Date; Write-Output 'Hello World'", mode)
        assert result["Success"] is True, result
        assert result["Output"].split("\n").count("Hello World") == 1, mode
        assert re.search(r"\d\d:\d\d:\d\d", result["Output"]), mode


async def test_the_submission_file_and_the_request_by_curl(caller: Caller) -> None:
    for mode in LASTING:
        result = await submitted(caller, "MyJob", "Get-Process | Select-Object -First 5", mode)
        assert result["Success"] is True, result
        header = result["Output"].split("\n")[1].split()
        assert header[-3:] == ["Id", "SI", "ProcessName"], mode


async def test_example_1_simple_command_execution(caller: Caller) -> None:
    command = "Get-Process | Select-Object -First 10 | ConvertTo-Json"
    result = await submitted(caller, "GetProcesses", command, "MainLoop")
    assert result["Success"] is True
    assert (
        result["Output"].partition("\n")[2].startswith("[")
    )  # under the warning that it is cut at its depth
    assert result["Output"].count('"ProcessName"') >= 1


async def test_example_2_a_long_task(caller: Caller) -> None:
    command = '1..10 | ForEach-Object { Start-Sleep -Seconds 1; Write-Output "Step $_" }'
    result = await submitted(caller, "LongTask", command, "Runspace")
    assert result["Output"].splitlines() == [f"Step {number}" for number in range(1, 11)]
    assert result["Runtime"] >= ELAPSED


async def test_example_3_system_diagnostics(caller: Caller) -> None:
    command = """Get-Process | Measure-Object WorkingSet64 -Sum | Select-Object @{N='TotalMemoryMB';E={[math]::Round($_.Sum/1MB,2)}}
Get-ComputerInfo | Select-Object OsName, OsVersion, TotalPhysicalMemory
Get-NetTCPConnection | Group-Object State | Select-Object Name, Count
"""
    result = await submitted(caller, "SystemDiagnostics", command, "BackgroundJob")
    lines = result["Output"].split("\n")
    assert lines[1].strip() == "TotalMemoryMB"
    # Two of its three commands exist on Windows alone: each is an error of its own, and the rest is run.
    for name, line in (("Get-ComputerInfo", 2), ("Get-NetTCPConnection", 3)):
        assert f"[ERROR] The term '{name}' is not recognized" in result["Output"]
        assert f"at <ScriptBlock>, <command>: line {line}" in result["Output"]
    assert result["Success"] is False


async def test_error_handling(caller: Caller) -> None:
    for mode in LASTING:
        result = await submitted(caller, "Error", "'before'; Get-Item /nope; 'after'", mode)
        lines = result["Output"].splitlines()
        assert lines[0] == "before"
        assert lines[1].startswith("[ERROR] Cannot find path '/nope'")
        assert lines[2] == "at <ScriptBlock>, <command>: line 1"
        assert (lines[3], result["Success"]) == ("after", False)
