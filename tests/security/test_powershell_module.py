# ruff: noqa: E501 - PowerShell in a line
"""The PowerShell module's key: whom it is sent to, and where it can be read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from ..conftest import Host
from ..powershell import needs_pwsh
from ..processes import printed_by

pytestmark = [
    needs_pwsh,
    pytest.mark.timeout(300),
]
MODULE = Path(__file__).parents[2] / "aiohttp_jobs/client/powershell/PSWebHost_JobExecution"
PATH = "/apps/WebHostTaskManagement"
EACH_COMMAND = """
Import-Module $env:JOBS_TEST_MODULE -DisableNameChecking
$VerbosePreference = $DebugPreference = $InformationPreference = 'Continue'
$id = [guid]::NewGuid().ToString()
$commands = { Connect-PSWebHost }, { Submit-PSWebHostJob x "'y'" }, { Submit-PSWebHostJob x "'y'" -Wait },
    { Get-PSWebHostJobResults }, { Get-PSWebHostJobResults -JobID $id }, { Remove-PSWebHostJobResults -JobID $id },
    { Process-PSWebHostJobSubmissions }, { Get-PSWebHostJobFunction }, { Invoke-PSWebHostJobFunction x -Wait }
foreach ($command in $commands) {
    try { & $command *>&1 | Format-List * -Force | Out-String -Width 500 } catch { $_ | Format-List * -Force | Out-String -Width 500 }
}
$Error | Format-List * -Force | Out-String -Width 500
Get-Variable | Format-List * | Out-String -Width 500
'end'
"""


async def said_by_each_command(url: str, key: str, **env: str) -> str:
    """All that the module's commands print in one PowerShell, in which `key` came by the environment."""
    process = await asyncio.create_subprocess_exec(
        *("pwsh", "-NoProfile", "-NonInteractive", "-Command", EACH_COMMAND),
        env={
            **os.environ,
            "JOBS_TEST_MODULE": str(MODULE),
            "AIOHTTP_JOBS_URL": url,
            "AIOHTTP_JOBS_API_KEY": key,
            **env,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = (await printed_by(process, seconds=240))[0].decode()
    assert printed.endswith("end\n"), printed
    return printed


@asynccontextmanager
async def listening(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_it_is_sent_nowhere_else_by_a_redirect_or_a_proxy() -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path}")
        return web.json_response({"success": True})

    async with listening(elsewhere) as other:

        async def redirect(request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": f"{other}{request.path}"})

        async with listening(redirect) as url:
            proxies = {"http_proxy": other, "https_proxy": other, "all_proxy": other}
            printed = await said_by_each_command(url + PATH, "a-key-of-somebody", **proxies)

    assert asked == []
    assert "something else answers than aiohttp-jobs" in printed
    assert "a-key-of-somebody" not in printed


async def test_it_is_in_nothing_that_the_module_prints_or_leaves(host: Host) -> None:
    good = host.caller("task_manager").session.headers["Authorization"].removeprefix("Bearer ")
    url = f"{host.address}{host.config.prefix}"

    with_good = await said_by_each_command(url, good)
    with_wrong = await said_by_each_command(url, "a-wrong-key-of-somebody")

    assert "UserID" in with_good
    assert good not in with_good
    assert "a-wrong-key-of-somebody" not in with_wrong
