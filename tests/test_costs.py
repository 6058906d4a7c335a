"""What requests cost does not grow with what is stored: by counting the folders that are listed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from aiohttp_jobs.engine.base import JobState
from aiohttp_jobs.engine.embedded import job_queue
from aiohttp_jobs.engine.embedded.queue import PendingJob
from aiohttp_jobs.model.job import JobPhase

from .conftest import Caller, Host
from .counting import listed_folders

StartHost = Callable[..., Awaitable[Host]]
NEVER = 3600.0
SHARED = {
    ".",
    "JobSubmission",
    "JobSubmission/alice",
    "JobOutput",
    "JobResults",
    "Running",
    "Schedules",
    "Notices",
}


async def read(caller: Caller, path: str) -> None:
    answer = await caller.request("GET", path)
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/jobs",
        "/jobs/{job}",
        "/jobs/{job}/output",
        "/jobs/results",
        "/results",
        "/results/{job}",
        "/results?q=true",
        "/results/stats",
        "/queue",
        "/schedules",
        "/notices",
        "/templates",
    ],
)
async def test_reading_lists_no_folder(start_host: StartHost, path: str) -> None:
    host = await start_host(poll_interval=NEVER)
    alice = host.caller("debug")
    job = (await alice.run("echo true"))["JobID"]
    await asyncio.sleep(0.5)  # a folder made just now is read again until its clock has ticked
    await read(alice, path.format(job=job))

    with listed_folders(host.base_dir) as listed:
        await read(alice, path.format(job=job))

    assert SHARED.isdisjoint(listed)


async def test_running_a_job_lists_no_folder_but_its_own(start_host: StartHost) -> None:
    host = await start_host(poll_interval=NEVER)
    await asyncio.sleep(1.0)  # a folder that has just changed is listed again
    alice = host.caller("debug")
    await alice.run("true")
    await alice.run("true", "Runspace")

    with listed_folders(host.base_dir) as listed:
        await alice.run("true")
        await alice.run("true", "Runspace")

    assert SHARED.isdisjoint(listed)


@pytest.mark.parametrize(("path", "shown"), [("/jobs?limit=5", 5), ("/queue", 1000)])
async def test_of_many_waiting_jobs_only_those_shown_are_described(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch, path: str, shown: int
) -> None:
    host = await start_host(max_pending_per_user=2000)
    admin = host.caller("debug", "system_admin")
    assert (await admin.request("POST", "/queue/pause")).status == 200
    for _ in range(12):
        await asyncio.gather(*(admin.submit("true") for _ in range(100)))
    described: list[str] = []

    def counting(job: PendingJob, phase: JobPhase, place: int | None) -> JobState:
        described.append(job.job_id)
        return JobState(job, phase, place)

    monkeypatch.setattr(job_queue, "JobState", counting)
    answer = await admin.request("GET", path)
    jobs = answer.body.get("jobs") or answer.body["queue"]["jobs"]
    assert (len(jobs), len(described)) == (shown, shown)
