"""The demo, and hosts with jobs in each mode, where what only Linux has is not to be had."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession

from aiohttp_jobs.model.job import format_utc, new_job_id, utc_now
from aiohttp_jobs.system.derived_keys import InstallationKeys

from ..conftest import Caller
from ..gate import until
from ..hosts.process import ROOT, Process, caller_of, new_key, printed, running
from .without_linux import can_hide_proc, python_without_linux

EXITED = "[ERROR] The command exited with code {}.\n"
MODES = ["MainLoop", "Runspace", "BackgroundJob"]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return python_without_linux(tmp_path_factory.mktemp("without-linux"))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def host(python: list[str], data_dir: Path) -> Iterator[Process]:
    """One for all that leave it as it was: to start one takes a processor for a second."""
    with running(data_dir, python=python) as process:
        yield process


@pytest.fixture
async def caller(host: Process, data_dir: Path) -> AsyncIterator[Caller]:
    async with ClientSession() as session:
        yield caller_of(host, new_key(data_dir), session)


def test_it_is_really_taken_away(python: list[str]) -> None:
    code = (
        "import os, select, socket, asyncio, psutil; import aiohttp_jobs.assembly.app\n"
        "print([hasattr(os, 'pidfd_open'), hasattr(select, 'epoll'), hasattr(socket, 'SOCK_CLOEXEC')])\n"
        "print(os.path.exists('/proc/self'), psutil.Process().status())"
    )
    out = subprocess.run([*python, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert out == f"[False, False, False]\n{not can_hide_proc()} running\n"


def test_the_demo_shows_a_job_from_end_to_end(python: list[str], tmp_path: Path) -> None:
    command = [*python, "-m", "demo_app", "--once", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=280)
    assert done.stdout.endswith("All went well.\n"), done.stdout + done.stderr
    assert done.returncode == 0
    assert done.stdout.count("Succeeded") == 7


@pytest.mark.parametrize("mode", MODES)
async def test_a_mode_runs_shells_and_python(caller: Caller, mode: str) -> None:
    shell = await caller.run("echo out; echo err >&2; (exit 3)", mode)
    assert (shell["Output"], shell["ExitCode"]) == (f"out\nerr\n{EXITED.format(3)}", 3)
    python = await caller.run("print('x' * 1000)\nraise SystemExit(4)", mode, interpreter="python")
    assert (python["Output"], python["ExitCode"]) == ("x" * 1000 + f"\n{EXITED.format(4)}", 4)


async def test_a_job_prints_more_than_a_pipe_holds(caller: Caller) -> None:
    result = await caller.run("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo line $i of many; done")
    assert result["Output"].endswith("line 30000 of many\n")
    assert len(result["Output"]) > 500_000


@pytest.mark.parametrize("mode", ["Runspace", "BackgroundJob"])
async def test_a_job_that_is_cancelled_ends_with_all_that_it_started(caller: Caller, mode: str) -> None:
    command = "setsid sh -c 'echo pid $$; exec sleep 600' & wait"
    job_id = await caller.submit(command, mode)
    await printed(caller, job_id, "pid ")
    pid = int((await caller.request("GET", f"/jobs/{job_id}/output")).body.split()[1])
    assert psutil.pid_exists(pid)
    assert (await caller.request("POST", f"/jobs/{job_id}/cancel")).status in {200, 202}
    assert (await caller.result(job_id))["Status"] == "Cancelled"
    await until(lambda: is_gone(pid), "the end of what the job started")


async def test_a_dropped_file_is_found(caller: Caller, data_dir: Path) -> None:
    base = data_dir / "apps" / "WebHostTaskManagement"
    record = {
        "JobID": new_job_id(), "UserID": "alice", "SessionID": "elsewhere", "JobName": "dropped",
        "Command": "echo dropped", "Description": "", "ExecutionMode": "BackgroundJob", "Roles": ["debug"],
        "SubmittedAt": format_utc(utc_now()), "Status": "Pending",
    }  # fmt: skip
    signed = await asyncio.to_thread(InstallationKeys(base).signer, "submission.key")
    folder = base / "JobSubmission" / "alice"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".drop").write_text(json.dumps(signed.sign(record)))
    (folder / ".drop").rename(folder / "drop.json")
    assert (await caller.result(str(record["JobID"])))["Output"] == "dropped\n"


async def test_a_killed_hosts_jobs_end_and_the_next_host_says_so(python: list[str], tmp_path: Path) -> None:
    key = new_key(tmp_path)
    async with ClientSession() as session:
        with running(tmp_path, python=python) as first:
            caller = caller_of(first, key, session)
            jobs = {
                mode: await caller.submit(
                    "import os, time; print('pid', os.getpid()); time.sleep(600)", mode, interpreter="python"
                )
                for mode in ("Runspace", "BackgroundJob")
            }
            pids = {}
            for mode, job_id in jobs.items():
                await printed(caller, job_id, "pid ")
                pids[mode] = int((await caller.request("GET", f"/jobs/{job_id}/output")).body.split()[1])
            first.kill()
        await until(lambda: is_gone(pids["Runspace"]), "the end of a worker without its host")
        with running(tmp_path, python=python) as second:
            caller = caller_of(second, key, session)
            for job_id in jobs.values():
                assert (await caller.result(job_id))["Status"] == "Interrupted"
            await until(lambda: is_gone(pids["BackgroundJob"]), "the end of what the killed host ran")


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a container's first process may leave it unreaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
