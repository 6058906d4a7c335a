"""Processes of different releases or settings on one storage: each runs what it has, and leaves the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aiohttp_jobs import Functions
from aiohttp_jobs.engine.embedded.records import ScheduleStore
from aiohttp_jobs.model.schedule import Schedule

from ..conftest import Host
from ..engines import BOTH
from ..gate import until_answered
from .conftest import FunctionCaller

StartHost = Callable[..., Awaitable[Host]]
NIGHTLY = {"cron": "0 3 * * *"}


def release(name: str, go_on: asyncio.Event | None = None, **options: Any) -> Functions:
    """Code with one function, which waits for `go_on` if there is any."""
    functions = Functions()

    @functions.function(name=name, mode="MainLoop", **options)
    async def run() -> str:
        if go_on is not None:
            await go_on.wait()
        return str(options.get("version", name))

    return functions


@pytest.mark.parametrize("other", [None, release("other"), release("report", version="1")])
async def test_a_job_is_left_to_the_process_that_has_its_function(
    start_host: StartHost, other: Functions | None
) -> None:
    """Also while that has no room for it, and the other, which has another release's or none, has."""
    go_on = asyncio.Event()
    newer = await start_host(
        functions=release("report", go_on, version="2"), max_parallel_mainloop_functions=1
    )
    older = (await start_host(functions=other)).caller("debug")
    alice = FunctionCaller(newer.caller("debug"))
    job_ids = [await alice.submit("report") for _ in range(2)]

    async def is_left() -> bool:
        shown = (await older.request("GET", f"/jobs/{job_ids[1]}")).body["job"]
        return shown.get("Status") != "Queued"

    await until_answered(is_left, "that the other process has found the job")
    go_on.set()
    for job_id in job_ids:
        result = await older.result(job_id)
        assert (result["Status"], result.get("ReturnValue")) == ("Succeeded", "2"), result["Output"]


@BOTH
@pytest.mark.parametrize("other", [None, release("other", **NIGHTLY)])
async def test_a_process_does_not_remove_the_schedules_of_the_others_code(
    start_host: StartHost, other: Functions | None
) -> None:
    first = await start_host(functions=release("report", **NIGHTLY))
    await start_host(functions=other)
    root = first.caller("site_admin", user_id="root")
    kept = (await root.request("GET", "/schedules?scope=all")).body["schedules"]
    assert "report" in [each["Job"]["Function"] for each in kept]


async def test_nor_those_of_a_process_that_is_starting_anew(start_host: StartHost) -> None:
    """One without any functions cannot know; the pause of a schedule would be lost with it."""
    first = await start_host(functions=release("report", **NIGHTLY))
    root = first.caller("site_admin", user_id="root")
    [made] = (await root.request("GET", "/schedules?scope=all")).body["schedules"]
    path = f"/schedules/{made['ScheduleID']}"
    assert (await root.request("PATCH", path, json={"enabled": False})).status == 200
    await first.stop()
    await start_host()
    again = await start_host(functions=release("report", **NIGHTLY))
    root = again.caller("site_admin", user_id="root")
    assert (await root.request("GET", path)).body["schedule"]["Enabled"] is False


async def test_a_moment_is_left_to_the_process_that_has_the_schedules_function(start_host: StartHost) -> None:
    host = await start_host(functions=release("report"))
    caller = host.caller("debug")
    body = {"cron": "0 * * * *", "job": {"function": "report"}, "misfirePolicy": "run_once"}
    names = [f"nightly {number}" for number in range(5)]
    made = [
        (await caller.request("POST", "/schedules", json={**body, "name": name})).body["schedule"]
        for name in names
    ]
    await start_host()
    store = ScheduleStore(host.base_dir)
    store.open()
    missed = {"active_since": datetime.now(UTC) - timedelta(hours=3)}
    for each in made:
        store.change(
            each["ScheduleID"], lambda schedule: Schedule.model_validate({**dict(schedule), **missed})
        )

    async def have_fired() -> bool:
        shown = (await caller.request("GET", "/schedules")).body["schedules"]
        assert [each["LastError"] for each in shown] == [None] * len(made)
        return all(each["LastFiredAt"] for each in shown)

    await until_answered(have_fired, "that all have fired")
