"""What requests cost does not grow with what is stored: by counting the folders that are listed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

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
    await asyncio.sleep(0.2)  # a folder made just now is read again until its clock has ticked
    await read(alice, path.format(job=job))

    with listed_folders(host.base_dir) as listed:
        await read(alice, path.format(job=job))

    assert SHARED.isdisjoint(listed)


async def test_running_a_job_lists_no_folder_but_its_own(start_host: StartHost) -> None:
    host = await start_host(poll_interval=NEVER)
    alice = host.caller("debug")
    await alice.run("true")
    await alice.run("true", "Runspace")

    with listed_folders(host.base_dir) as listed:
        await alice.run("true")
        await alice.run("true", "Runspace")

    assert SHARED.isdisjoint(listed)
