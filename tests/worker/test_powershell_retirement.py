"""When a PowerShell process ends: after many jobs, when it was stopped hard, and with its host."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession

from aiohttp_jobs.worker.powershell import runspace
from aiohttp_jobs.worker.powershell.runspace import MOST_JOBS, MOST_MEMORY

from ..conftest import Caller, Host, is_alive
from ..gate import until
from ..hosts.process import caller_of, new_key, printed, running
from ..powershell import needs_pwsh
from ..processes import children

pytestmark = [
    needs_pwsh,
    pytest.mark.timeout(900),
]
MODES = ("MainLoop", "Runspace", "BackgroundJob")
StartHost = Callable[..., Awaitable[Host]]
WORK = "1..20 | ForEach-Object { [pscustomobject]@{ Number = $_ } } | Format-Table | Out-Null; $PID"
KEPT = "[GC]::GetTotalMemory($true)"
"""How many bytes the process keeps, which no longer has what jobs need while they run."""
FIRST, JOBS = 40, 80
"""After how many jobs PowerShell has what it keeps for all jobs, and after how many it is replaced here."""


async def number(caller: Caller, command: str) -> int:
    """What it prints."""
    return int((await caller.run(command, "Runspace", interpreter="powershell"))["Output"])


async def test_a_process_is_replaced_after_many_jobs_and_500_need_no_more_than_its_memory(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going by what it keeps of each job: to run 500 takes a processor for a quarter of a minute."""
    monkeypatch.setattr(runspace, "MOST_JOBS", JOBS)
    host = await start_host(max_parallel_runspace=1)
    caller = host.caller("debug")
    pids = set(await asyncio.gather(*(number(caller, WORK) for _ in range(FIRST - 1))))
    first = await number(caller, KEPT)
    rest = JOBS - FIRST - 2
    pids.update(await asyncio.gather(*(number(caller, WORK) for _ in range(rest))))
    for_each = (await number(caller, KEPT) - first) / rest
    listed = await caller.request("GET", "/runspaces")
    (used,) = [view["MemoryBytes"] for view in listed.body["runspaces"] if view["Worker"] in pids]
    pids.add(await number(caller, WORK))
    assert len(pids) == 1  # it was not replaced for its memory, which is looked at after each job
    assert used + for_each * (MOST_JOBS - JOBS) < MOST_MEMORY

    assert await number(caller, "$PID") not in pids
    await until(lambda: not is_alive(min(pids)), "the process that was replaced has ended")


async def test_those_of_a_host_that_was_killed_end_with_all_that_they_run(tmp_path: Path) -> None:
    """Busy ones, the spare, and what they started; the next host says what became of the jobs."""
    key = new_key(tmp_path)
    command = "sh -c 'trap \"\" TERM INT HUP; echo running; while :; do sleep 1; done'"
    with running(tmp_path) as host:
        async with ClientSession() as session:
            caller = caller_of(host, key, session)
            await caller.run("'idle'", "Runspace", interpreter="powershell")
            # MainLoop last: nothing is started while it runs.
            ids = [await caller.submit(command, mode, interpreter="powershell") for mode in reversed(MODES)]
            for job_id in ids:
                await printed(caller, job_id, "running")
            await until(lambda: len(powershells(host.pid)) >= 4, "a spare waits besides those that run")
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
    return set(children(lambda line: "host.ps1" in " ".join(line), pid, recursive=True))
