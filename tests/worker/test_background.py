"""The BackgroundJob mode by itself: a job that is cancelled at any step of its start leaves nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import uuid
from pathlib import Path

import psutil
import pytest

from aiohttp_jobs.model.job import InterpreterName
from aiohttp_jobs.worker.background import BackgroundExecutor
from aiohttp_jobs.worker.base import Execution
from aiohttp_jobs.worker.interpreters import find_interpreters
from aiohttp_jobs.worker.output.log import OutputLog
from aiohttp_jobs.worker.process.process import INSTANCE_VARIABLE, JOB_VARIABLE


def processes_of(job_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(JOB_VARIABLE) == job_id:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("command", ["/bin/sleep 1000", "setsid sleep 1000 & sleep 1000"])
async def test_a_job_cancelled_at_its_start_leaves_nothing(tmp_path: Path, command: str, steps: int) -> None:
    (tmp_path / "work").mkdir()
    executor = BackgroundExecutor(find_interpreters(), 0.5)
    await executor.open()
    before = os.listdir("/proc/self/fd")
    job_id = str(uuid.uuid4())
    log = OutputLog(tmp_path / "log", 1000)
    environment = {"PATH": "/usr/bin:/bin", JOB_VARIABLE: job_id}
    job = Execution(job_id, "alice", command, InterpreterName.SHELL, str(tmp_path), environment, log)
    running = asyncio.create_task(executor.run(job))
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await executor.close()
    assert processes_of(job_id) == []
    assert len(os.listdir("/proc/self/fd")) == len(before)


async def test_a_job_that_is_stopped_leaves_a_later_attempt_at_it_alone_which_another_host_runs(
    tmp_path: Path,
) -> None:
    (tmp_path / "work").mkdir()
    executor = BackgroundExecutor(find_interpreters(), 0.5)
    await executor.open()
    job_id, began = str(uuid.uuid4()), asyncio.Event()
    environment = {"PATH": "/usr/bin:/bin", INSTANCE_VARIABLE: "mine", JOB_VARIABLE: job_id}
    job = Execution(
        job_id, "alice", "setsid sleep 1000 & sleep 1000", InterpreterName.SHELL, str(tmp_path), environment,
        OutputLog(tmp_path / "log", 1000), lambda _: began.set(),
    )  # fmt: skip
    with subprocess.Popen(["/bin/sleep", "1000"], env={**environment, INSTANCE_VARIABLE: "other"}) as other:
        running = asyncio.create_task(executor.run(job))
        await began.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await executor.close()
        assert [process.pid for process in processes_of(job_id)] == [other.pid]
        other.kill()
