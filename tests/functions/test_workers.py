"""The processes in which a host runs functions, seen from outside: no other host has any meanwhile."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from ..conftest import Host, is_alive
from ..gate import until
from ..processes import children
from .conftest import FunctionCaller

WORKERS = ("Runspace", "BackgroundJob")


def function_workers() -> list[psutil.Process]:
    return children(lambda line: "functions/child.py" in " ".join(line))


@pytest.mark.parametrize("mode", WORKERS)
async def test_nothing_runs_on_when_the_host_stops(
    running_host: Host, alice: FunctionCaller, tmp_path: Path, mode: str
) -> None:
    job_id = await alice.submit("never_listen", mode, started=str(tmp_path / "started"))
    await until((tmp_path / "started").exists, "the function starting")
    worker = (await alice.caller.request("GET", f"/jobs/{job_id}")).body["job"]["Worker"]
    workers = [each.pid for each in function_workers()]
    assert worker in workers
    await running_host.stop()
    assert not [pid for pid in workers if is_alive(pid)]


async def test_a_host_without_functions_starts_no_worker_for_them(host: Host) -> None:
    await host.caller("debug").run("true")
    assert not function_workers()


async def test_workers_that_have_died_cost_no_job(running_host: Host, alice: FunctionCaller) -> None:
    await alice.value("nothing", "Runspace")
    killed = function_workers()
    for each in killed:
        each.kill()
    # A job that is handed to one that has not died yet would rightly fail with it.
    await until(lambda: not any(is_alive(each.pid) for each in killed), "that they died")
    assert (await alice.run("nothing", "Runspace"))["Status"] == "Succeeded"
