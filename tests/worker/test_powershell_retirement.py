"""When a PowerShell process ends: after many jobs, when it was stopped hard, and with its host."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession

from aiohttp_jobs.worker.powershell.runspace import MOST_JOBS, MOST_MEMORY

from ..conftest import Caller, Host, is_alive
from ..gate import until
from ..hosts.process import caller_of, new_key, running
from ..powershell import needs_pwsh

pytestmark = [
    needs_pwsh,
    pytest.mark.timeout(900),
]
MODES = ("MainLoop", "Runspace", "BackgroundJob")
StartHost = Callable[..., Awaitable[Host]]
JOBS_AT_ONCE = 20
WORK = "1..20 | ForEach-Object { [pscustomobject]@{ Number = $_ } } | Format-Table | Out-Null; $PID"


async def pid_printed(caller: Caller, command: str) -> int:
    return int((await caller.run(command, "Runspace", interpreter="powershell"))["Output"])


async def test_a_process_runs_500_jobs_within_its_memory_and_is_then_replaced(start_host: StartHost) -> None:
    host = await start_host(max_parallel_runspace=1)
    caller = host.caller("debug")
    # One process for all: it was not replaced for its memory, which is looked at after each job.
    pids: set[int] = set()
    for _ in range(MOST_JOBS // JOBS_AT_ONCE):
        pids.update(await asyncio.gather(*(pid_printed(caller, WORK) for _ in range(JOBS_AT_ONCE - 1))))
        if len(pids) > 1:
            break
        listed = await caller.request("GET", "/runspaces")
        (used,) = [view["MemoryBytes"] for view in listed.body["runspaces"] if view["Worker"] in pids]
        pids.add(await pid_printed(caller, WORK))
    assert len(pids) == 1
    assert used < MOST_MEMORY

    assert await pid_printed(caller, "$PID") not in pids
    await until(lambda: not is_alive(min(pids)), "the process that was replaced has ended")


STUBBORN = """
trap { continue }
try { sh -c 'trap "" TERM INT HUP; echo $$ $PPID > MARK.new; mv MARK.new MARK; while :; do sleep 1; done' }
finally { while ($true) { try { Start-Sleep 1 } catch { } [Threading.Thread]::Sleep(100) } }
"""


@pytest.mark.parametrize("mode", MODES)
async def test_at_a_time_limit_what_ignores_sigterm_is_killed_and_its_process_never_used_again(
    start_host: StartHost, tmp_path: Path, mode: str
) -> None:
    host = await start_host(kill_grace=1.0)
    caller = host.caller("debug")
    if mode != "BackgroundJob":  # whose process takes one job
        await caller.run("'warm'", mode, interpreter="powershell")
    mark = tmp_path / "mark"
    command = STUBBORN.replace("MARK", str(mark))
    result = await caller.run(command, mode, interpreter="powershell", timeoutSeconds=20)
    assert result["Status"] == "TimedOut", result
    assert "[ERROR] The job was stopped: it ran longer than its limit of 20 s." in result["Output"]
    native, powershell = map(int, mark.read_text().split())
    assert [is_alive(native), is_alive(powershell)] == [False, False]

    after = await caller.run("$PID; 'next'", mode, interpreter="powershell")
    pid, word = after["Output"].split()
    assert (word, after["Success"]) == ("next", True)
    assert int(pid) != powershell


async def test_those_of_a_host_that_was_killed_end_with_all_that_they_run(tmp_path: Path) -> None:
    """Busy ones, the spare, and what they started; the next host says what became of the jobs."""
    key = new_key(tmp_path)
    command = "sh -c 'trap \"\" TERM INT HUP; echo running; while :; do sleep 1; done'"
    with running(tmp_path) as host:
        async with ClientSession() as session:
            caller = caller_of(host, key, session)
            await caller.run("'idle'", "Runspace", interpreter="powershell")
            idle = powershells(host.pid)
            # MainLoop last: nothing is started while it runs.
            ids = [await caller.submit(command, mode, interpreter="powershell") for mode in reversed(MODES)]
            for job_id in ids:
                await until_printed(caller, job_id)
            await until(
                lambda: len(powershells(host.pid) - idle) >= 3, "a spare waits besides those that run"
            )
        below = psutil.Process(host.pid).children(recursive=True)
        assert len(below) >= 7  # three processes of PowerShell with a shell each, and the spare
        host.end(signal.SIGKILL)
        await until(
            lambda: not any(is_alive(process.pid) for process in below), "all that it had started has ended"
        )

    with running(tmp_path) as host:
        async with ClientSession() as session:
            caller = caller_of(host, key, session)
            for job_id in ids:
                result = await caller.result(job_id)
                assert result["Status"] == "Interrupted"
                assert result["Output"].startswith(
                    "running\n[ERROR] The server stopped while the job was running."
                )
            assert (await caller.run("'next'", "Runspace", interpreter="powershell"))["Output"] == "next\n"


def powershells(pid: int) -> set[psutil.Process]:
    found = set()
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # one that has ended meanwhile
            if "host.ps1" in " ".join(process.cmdline()):
                found.add(process)
    return found


async def until_printed(caller: Caller, job_id: str) -> None:
    while "running" not in (await caller.request("GET", f"/jobs/{job_id}/output")).body:
        await asyncio.sleep(0.05)
