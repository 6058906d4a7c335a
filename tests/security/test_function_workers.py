"""The processes of the host's functions: no way in for commands, and nothing that outlives the host."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ..conftest import Host, is_alive
from ..functions import running
from ..gate import until
from ..hosts.process import ROOT
from ..processes import children

StartHost = Callable[..., Awaitable[Host]]
HOST = """
import asyncio, sys
from aiohttp import web
import aiohttp_jobs
from tests.functions.running import jobs, never_listen

async def main():
    app = web.Application()
    aiohttp_jobs.setup(app, aiohttp_jobs.JobsConfig(data_dir=sys.argv[1]), functions=jobs)
    runner = web.AppRunner(app)
    await runner.setup()
    for number, mode in enumerate(sys.argv[2:]):
        await aiohttp_jobs.submit(app, never_listen.bind(f"{sys.argv[1]}.{number}"), mode=mode)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
async def host(start_host: StartHost, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("ONLY_THE_HOSTS", "hunter2-of-the-host")
    return await start_host(functions=running.jobs)


async def test_no_command_runs_in_a_process_that_has_the_hosts_modules_or_its_environment(host: Host) -> None:
    caller = host.caller("debug")
    for name in ("nothing", "nothing_async"):
        for mode in ("Runspace", "BackgroundJob"):
            answer = await caller.request(
                "POST", f"/functions/{name}/run?wait=60", json={"values": {}, "executionMode": mode}
            )
            assert answer.body["result"]["Status"] == "Succeeded"
    look = (
        "import os, sys\n"
        "print('aiohttp_jobs' in sys.modules, 'tests.functions.running' in sys.modules, "
        "'ONLY_THE_HOSTS' in os.environ, b'hunter2' in open('/proc/self/environ', 'rb').read())"
    )
    for mode in ("Runspace", "BackgroundJob"):
        result = await caller.run(look, mode, interpreter="python")
        assert result["Output"] == "False False False False\n"


async def test_a_submission_with_a_command_in_a_functions_place_runs_neither(host: Host) -> None:
    """What shows a call is never run, whatever it looks like."""
    caller = host.caller("debug")
    answer = await caller.request(
        "POST", "/functions/value/run?wait=60", json={"values": {"kind": "'); print('run'); ('"}}
    )
    result = answer.body["result"]
    assert result["Status"] == "Failed"
    assert "KeyError" in result["Output"]
    assert "\nrun\n" not in result["Output"]


async def test_nothing_of_a_host_that_is_killed_runs_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    start = (sys.executable, "-c", HOST, str(data))
    process = await asyncio.create_subprocess_exec(*start, "Runspace", "BackgroundJob", cwd=ROOT)
    marks = [Path(f"{data}.{number}") for number in range(2)]
    await until(lambda: all(mark.exists() for mark in marks), "both functions starting")
    below = children(lambda line: "functions/child.py" in " ".join(line), process.pid, recursive=True)
    warm = [each.pid for each in below]
    assert len(warm) == len(marks)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    # Warm workers die with their host; a process of its own when the next host takes over what that has left.
    next_one = await asyncio.create_subprocess_exec(*start, cwd=ROOT)
    try:
        await until(lambda: not any(is_alive(pid) for pid in warm), "the end of all that it ran")
    finally:
        next_one.terminate()
        await next_one.wait()
