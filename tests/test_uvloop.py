"""The plugin in a host that runs on uvloop: all that touches processes, pipes and sockets works there too."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from aiohttp_jobs import JobsConfig

from .conftest import Host, is_alive, starting_hosts
from .gate import until
from .streams import Stream

MODES = ("MainLoop", "Runspace", "BackgroundJob")
Test = Callable[[Host], Awaitable[None]]
Run = Callable[[Test], None]


@pytest.fixture
def on_uvloop(make_config: Callable[..., JobsConfig]) -> Run:
    """Runs a test's code beside a host, both on one loop."""

    def run(test: Test) -> None:
        async def main() -> None:
            assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
            async with starting_hosts(make_config) as start:
                await test(await start())

        with asyncio.Runner(loop_factory=uvloop.new_event_loop, debug=True) as runner:
            runner.run(main())

    return run


@pytest.mark.parametrize("mode", MODES)
def test_commands_run_and_their_output_is_kept(on_uvloop: Run, mode: str) -> None:
    async def test(host: Host) -> None:
        caller = host.caller("debug")
        for interpreter, command, output in (
            ("shell", "echo out; echo err >&2", "out\nerr\n"),
            ("python", "print('x' * 100_000)", "x" * 100_000 + "\n"),
        ):
            result = await caller.run(command, mode, interpreter=interpreter)
            assert (result["Output"], result["ExitCode"]) == (output, 0)

    on_uvloop(test)


def test_a_simple_command_runs_without_a_shell(on_uvloop: Run) -> None:
    async def test(host: Host) -> None:
        results = await asyncio.gather(*(host.caller("debug").run("/bin/true") for _ in range(20)))
        assert {result["Status"] for result in results} == {"Succeeded"}

    on_uvloop(test)


@pytest.mark.parametrize("command", ["ls /proc/self/fd", "ls /proc/self/fd; true"])
def test_a_job_has_none_of_the_hosts_descriptors(on_uvloop: Run, command: str) -> None:
    async def test(host: Host) -> None:
        leaked = fcntl.fcntl(0, fcntl.F_DUPFD, 200)
        os.set_inheritable(leaked, True)
        try:
            result = await host.caller("debug").run(command)
        finally:
            os.close(leaked)
        assert str(leaked) not in result["Output"].split()

    on_uvloop(test)


@pytest.mark.parametrize("mode", ["Runspace", "BackgroundJob"])
def test_a_job_is_watched_and_cancelled_with_all_its_processes(on_uvloop: Run, mode: str) -> None:
    async def test(host: Host) -> None:
        caller = host.caller("debug")
        job_id = await caller.submit("sleep 1000 & echo $!; wait", mode)
        stream = Stream(caller, job_id)
        await stream.read(at_most=1)
        answer = await caller.request("POST", f"/jobs/{job_id}/cancel")
        assert answer.status in (200, 202), answer.body
        assert (await caller.result(job_id))["Status"] == "Cancelled"
        await until(lambda: not is_alive(int(stream.text)), "the end of the job's processes")

    on_uvloop(test)


@pytest.mark.parametrize("mode", MODES)
def test_a_job_that_takes_too_long_is_stopped(on_uvloop: Run, mode: str) -> None:
    async def test(host: Host) -> None:
        command = "import time; time.sleep(1000)"
        result = await host.caller("debug").run(command, mode, interpreter="python", timeoutSeconds=0.3)
        assert result["Status"] == "TimedOut"

    on_uvloop(test)


def test_jobs_that_run_when_the_host_stops_are_ended_and_recorded(on_uvloop: Run) -> None:
    async def test(host: Host) -> None:
        caller = host.caller("debug")
        jobs = {await caller.submit("sleep 1000", mode) for mode in ("Runspace", "BackgroundJob")}
        while len((await caller.request("GET", "/jobs?state=running")).body["jobs"]) < len(jobs):
            await asyncio.sleep(0.02)
        await host.stop()
        kept = {path.stem: path.read_text() for path in (host.base_dir / "JobResults").glob("*.json")}
        assert set(kept) == jobs
        assert all('"Interrupted"' in text for text in kept.values())

    on_uvloop(test)
