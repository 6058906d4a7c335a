"""Notices are due as soon as the verdict is given that they tell of, whoever dies right afterwards."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from aiohttp_jobs.engine.base import cancelled_by
from aiohttp_jobs.model.notice import NoticeState, notice_id

from ...conftest import Host
from ...contract.jobs import submit
from ...gate import PATIENCE_SECONDS, until, until_answered
from ...notify.conftest import receiver
from ...notify.crashing import SETTINGS
from ...notify.support import Receiver, webhook
from .host import started

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

__all__ = ["receiver"]  # a fixture, for pytest to find

STALL = 4.0
NEVER = 3600.0
URL = "https://hooks.example/job"


async def killed(dsn: str, folder: Path, point: str) -> None:
    """Return when a host in a process of its own has died at that point of a job's end."""
    command = (sys.executable, "-m", "tests.engine.postgres.host", dsn, str(folder), str(STALL), point)
    process = await asyncio.create_subprocess_exec(*command, stdin=-1)
    try:
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == -9
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_who_dies_right_after_a_verdict_has_lost_no_notice_and_who_dies_before_it_has_told_nothing(
    start_host: Callable[..., Awaitable[Host]], receiver: Receiver, postgres: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        # It runs nothing, and takes no jobs of the dead.
        idle = await started(postgres, tmp_path / "idle", NEVER, stack, places=None)
        notices = idle.records.notices
        job_id = await submit(idle.queue, notify=(webhook(receiver.url),))
        await killed(postgres, tmp_path / "runs it", "before")
        assert (notices.all(), notices.prepared(0)) == ([], [])
        await killed(postgres, tmp_path / "finds it lost", "after")
        (notice,) = notices.all()
        assert (notice.notice_id, notice.state) == (notice_id(job_id, 1, 0), NoticeState.PENDING)
        assert notices.get(notice.notice_id).job["Status"] == "Interrupted"

        await start_host(**SETTINGS)
        await until(lambda: receiver.requests, "the notice arriving")

        async def is_sent() -> bool:
            return [each.state for each in await asyncio.to_thread(notices.all)] == [NoticeState.SENT]

        await until_answered(is_sent, "noting that it was sent")
    (request,) = receiver.requests
    assert request.headers["X-AiohttpJobs-Notice"] == notice.notice_id
    assert json.loads(request.body)["job"]["Status"] == "Interrupted"


async def test_one_of_a_job_that_never_ran_is_due_with_its_verdict(postgres: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        idle = await started(postgres, tmp_path, NEVER, stack, places=None)
        job_id = await submit(idle.queue, notify=(webhook(URL), webhook(URL, on=["recovery"]), webhook(URL)))
        await idle.queue.cancel(job_id, cancelled_by("bob"))
        assert await idle.queue.end_of(job_id, PATIENCE_SECONDS) is not None
        found = idle.records.notices.all()
        assert {each.notice_id for each in found} == {notice_id(job_id, 1, index) for index in (0, 2)}
        assert {each.state for each in found} == {NoticeState.PENDING}
        assert {idle.records.notices.get(each.notice_id).job["Status"] for each in found} == {"Cancelled"}
