"""The button that begins PowerShell's MainLoop session anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.conftest import Caller, Host
from tests.gate import until

from ..powershell import needs_pwsh
from .conftest import Visit

pytestmark = [
    needs_pwsh,
    pytest.mark.timeout(300),
]
BUTTON = "Restart the MainLoop session"


async def run(caller: Caller, command: str) -> Any:
    return (await caller.run(command, "MainLoop", interpreter="powershell"))["Output"]


async def test_the_next_job_has_nothing_of_those_before_but_none_that_runs_is_ended(
    host: Host, visit: Visit, tmp_path: Path
) -> None:
    caller, gate = host.caller("debug"), tmp_path / "gate"
    command = (
        f"$kept = 5; '' > {gate}.here; while (-not (Test-Path {gate})) {{ Start-Sleep -Milliseconds 50 }}"
    )
    job_id = await caller.submit(command, "MainLoop", interpreter="powershell")
    await until(Path(f"{gate}.here").exists, "the job's start")
    page = await (await visit(host, "debug")).open("#/runspaces")
    await page.get_by_role("button", name=BUTTON).click()
    await expect(page.get_by_text("A job runs in the MainLoop session.")).to_be_visible()
    gate.touch()
    assert (await caller.result(job_id))["Success"] is True
    assert await run(caller, "$kept") == "5\n"
    await page.get_by_role("button", name=BUTTON).click()
    await expect(
        page.get_by_text("The next MainLoop job in PowerShell begins a new session.")
    ).to_be_visible()
    assert await run(caller, '"[$kept]"') == "[]\n"


async def test_it_is_offered_to_nobody_without_the_role_and_on_no_host_without_powershell(
    host: Host,
    start_host: Callable[..., Awaitable[Host]],
    visit: Visit,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    visitor = await visit(host, "task_manager")
    page = await visitor.open("#/runspaces")
    await expect(page.get_by_role("heading", name="Runspaces")).to_be_visible()
    await expect(page.get_by_role("button", name=BUTTON)).to_have_count(0)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    visitor.host = await start_host(data_dir=tmp_path / "without")
    await visitor.sign_in("debug")
    await visitor.open("#/runspaces")
    await expect(page.get_by_role("heading", name="Runspaces")).to_be_visible()
    await expect(page.get_by_role("button", name=BUTTON)).to_have_count(0)
