"""The pool of warm workers by itself: who gets which worker after what."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiohttp_jobs.config import JobsConfig
from aiohttp_jobs.model.job import InterpreterName
from aiohttp_jobs.worker.base import Execution
from aiohttp_jobs.worker.interpreters import find_interpreters
from aiohttp_jobs.worker.output.log import OutputLog
from aiohttp_jobs.worker.runspace import RunspaceExecutor
from aiohttp_jobs.worker.workspace import base_environment


class SlowLog(OutputLog):
    """On a disk that takes its time."""

    def flush(self, *, and_close: bool = True) -> None:
        time.sleep(0.05)
        super().flush(and_close=and_close)


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[RunspaceExecutor]:
    environment = base_environment(JobsConfig(data_dir=tmp_path), "test")
    executor = RunspaceExecutor(find_interpreters(), size=1, environment=environment, kill_grace=1)
    (tmp_path / "work").mkdir()
    await executor.open()
    yield executor
    await executor.close()


def job(folder: Path, log: OutputLog, command: str) -> Execution:
    return Execution("id", "alice", command, InterpreterName.PYTHON, str(folder), {}, log)


async def test_what_was_left_of_a_job_that_is_stopped_at_its_very_end_is_not_the_next_ones(
    tmp_path: Path, workers: RunspaceExecutor
) -> None:
    (worker,) = workers.workers
    log = SlowLog(tmp_path / "slow", 1024)
    flood = "import fcntl; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20); print('x' * 1_999_999, flush=True)"
    running = asyncio.create_task(workers.run(job(tmp_path, log, flood)))
    while not worker.served:
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    following = OutputLog(tmp_path / "next", 1024)
    assert (await workers.run(job(tmp_path, following, "print('next')"))).exit_code == 0
    assert following.output().text == "next\n"
    assert len(workers.workers) == 1


async def test_that_the_waiting_workers_have_died_costs_no_job_even_if_nobody_has_seen_it_yet(
    tmp_path: Path, workers: RunspaceExecutor
) -> None:
    (dead,) = workers.workers
    os.kill(dead.process.pid, signal.SIGKILL)
    # The event loop sees nothing of it.
    os.waitid(os.P_PID, dead.process.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222
    log = OutputLog(tmp_path / "log", 1024)
    assert (await workers.run(job(tmp_path, log, "print('ran')"))).exit_code == 0
    assert log.output().text == "ran\n"
    assert [worker.process.pid for worker in workers.workers] != [dead.process.pid]
