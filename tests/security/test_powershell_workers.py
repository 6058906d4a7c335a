"""A warm PowerShell process: what a user's code in it can do to the host, to others, and to the next job."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from ..conftest import Host, one_for_all
from ..powershell import needs_pwsh

pytestmark = [
    needs_pwsh,
    pytest.mark.timeout(300),
]
in_one_loop = pytest.mark.asyncio(loop_scope="module")
"""Of the tests that share a host."""
ANSWER = r"""
$sockets = foreach ($link in [IO.DirectoryInfo]::new('/proc/self/fd').GetFiles()) {
    if ("$($link.LinkTarget)".StartsWith('socket:')) { [int] $link.Name }
}
foreach ($descriptor in $sockets) {
    $socket = [Net.Sockets.Socket]::new([Net.Sockets.SafeSocketHandle]::new([IntPtr] $descriptor, $false))
    $text = '{"exit_code": 0, "reusable": true, "token": ""}' + "`n"
    try { $null = $socket.Send([Text.Encoding]::UTF8.GetBytes($text)) } catch { }
}
exit 3
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """A host with a password in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOST_PASSWORD", "hunter2-hunter2")
        async with one_for_all(tmp_path_factory.mktemp("shared")) as host:
            yield host


@in_one_loop
async def test_a_job_that_answers_in_its_workers_place_has_not_succeeded(shared: Host) -> None:
    caller = shared.caller("debug")
    for mode in ("MainLoop", "Runspace", "BackgroundJob"):
        result = await caller.run(ANSWER, mode, interpreter="powershell")
        assert result["Success"] is False, mode
        if mode == "BackgroundJob":
            continue  # its process takes no other
        after = await caller.run("'next'", mode, interpreter="powershell")
        assert (after["Output"], after["Success"]) == ("next\n", True), mode


async def test_nobody_is_given_a_process_that_has_run_another_users_code(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host(max_parallel_runspace=1, powershell_spares=0)
    seen = []
    for user in ("alice", "bob", "alice"):
        result = await host.caller("debug", user_id=user).run("$PID", "Runspace", interpreter="powershell")
        seen.append(result["Output"])
    assert len(set(seen)) == 3


@in_one_loop
async def test_the_hosts_environment_is_in_no_powershell(shared: Host) -> None:
    look = "[Environment]::GetEnvironmentVariables().Values -join ' '; sh -c 'cat /proc/$PPID/environ'; 'end'"
    for mode in ("MainLoop", "Runspace", "BackgroundJob"):
        result = await shared.caller("debug").run(look, mode, interpreter="powershell")
        assert "AIOHTTP_JOBS_INSTANCE=" in result["Output"], mode
        assert "hunter2" not in result["Output"], mode
