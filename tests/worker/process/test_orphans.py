"""What jobs leave behind where the host is the first process: no zombies, and the host's own stay its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from ...conftest import API, Caller
from ...gate import PATIENCE_SECONDS, until_answered
from ...hosts.process import ROOT, new_key

NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
LEAVES_ORPHANS = (
    "for i in 1 2 3; do (setsid sh -c 'sleep 0.3; exit 3' &); (sleep 0.2 &); done; sleep 0.1; echo ok"
)
PYTHON = f"import subprocess; print(subprocess.getoutput({LEAVES_ORPHANS!r}))"


def may_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(
            [*NAMESPACE, "true"], capture_output=True, timeout=PATIENCE_SECONDS, check=False
        ).returncode
        == 0
    )


pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not may_unshare(),
    reason="PID namespaces are Linux's, and not everybody may make one",
)


@asynccontextmanager
async def first_process(data_dir: Path) -> AsyncIterator[Caller]:
    """The caller of a host that is process number 1; addresses outside the API are below `/`."""
    key = new_key(data_dir)
    process = await asyncio.create_subprocess_exec(
        *NAMESPACE, sys.executable, "-m", "tests.hosts.first_process", str(data_dir),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS))
        async with ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            yield Caller(f"http://127.0.0.1:{port}{API}", session, "alice")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def zombies(caller: Caller) -> list[int]:
    answer = await caller.request("GET", caller.base.removesuffix(API) + "/zombies")
    assert answer.body["pid"] == 1
    found: list[int] = answer.body["zombies"]
    return found


async def test_orphans_of_jobs_are_reaped_and_what_the_host_started_is_not(tmp_path: Path) -> None:
    async with first_process(tmp_path) as alice:
        child = alice.base.removesuffix(API) + "/child"
        pid = (await alice.request("POST", child)).body["pid"]
        for mode, command, interpreter in (
            ("BackgroundJob", LEAVES_ORPHANS, "shell"),
            ("BackgroundJob", PYTHON, "python"),
            ("Runspace", LEAVES_ORPHANS, "shell"),
            ("Runspace", PYTHON, "python"),
        ):
            ended = await alice.run(command, mode, interpreter=interpreter)
            assert ended["Output"].strip() == "ok", ended

        async def only_the_hosts_own() -> bool:
            return await zombies(alice) == [pid]

        # Longer than any of them lives, so that those which have not ended yet are not overlooked.
        await asyncio.sleep(1)
        await until_answered(only_the_hosts_own, "reaping the orphans")
        for exits in ("exit 0", "exit 5"):
            assert (await alice.run(exits))["ExitCode"] == int(exits[-1])
        assert (await alice.request("GET", child)).body["code"] == 7
