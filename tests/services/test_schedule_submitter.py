"""Schedules in a running host: they fire, with their owner's rights of that moment, and survive a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.records import ScheduleStore

from ..conftest import Caller, Host
from ..scheduling.support import make_schedule

StartHost = Callable[..., Awaitable[Host]]
BODY = {
    "name": "every minute",
    "cron": "* * * * *",
    "job": {"jobName": "tick", "command": "echo tick", "executionMode": "BackgroundJob"},
}


async def create(caller: Caller, **fields: Any) -> dict[str, Any]:
    answer = await caller.request("POST", "/schedules", json={**BODY, **fields})
    assert answer.status == 201, answer.body
    schedule: dict[str, Any] = answer.body["schedule"]
    return schedule


async def results_of(caller: Caller, count: int) -> list[dict[str, Any]]:
    for _ in range(3000):
        if len(results := await caller.results()) >= count:
            return results
        await asyncio.sleep(0.02)
    raise AssertionError(f"there are no {count} results")


async def test_a_schedule_is_made_shown_paused_and_deleted(host: Host) -> None:
    caller = host.caller("task_manager")
    schedule = await create(caller)
    path = f"/schedules/{schedule['ScheduleID']}"
    runs = (await caller.request("GET", f"{path}/next?count=3")).body
    assert runs["success"] is True
    answer = await caller.request("PATCH", path, json={"enabled": False})
    assert answer.body["schedule"]["Enabled"] is False
    other = host.caller("task_manager", user_id="bob")
    assert (await other.request("GET", path)).status == 403
    assert (await caller.request("DELETE", path)).status == 200
    assert (await caller.request("GET", path)).status == 404


@pytest.mark.parametrize("role", ["task_manager", "viewer"])
async def test_a_moment_missed_in_downtime_runs_once_with_the_rights_of_now(
    start_host: StartHost, role: str
) -> None:
    roles = {"alice": ["task_manager"]}

    async def resolve(user_id: str) -> list[str] | None:
        return roles.get(user_id)

    host = await start_host(roles_resolver=resolve)
    store = host_schedules(host)
    past = datetime.now(UTC) - timedelta(hours=3)
    store.add(
        make_schedule(
            "0 * * * *", misfire_policy="run_once", created_at=past, updated_at=past, active_since=past
        ),
        100,
    )
    await host.stop()
    roles["alice"] = [role]
    host = await start_host(roles_resolver=resolve)
    caller = await host.signed_in("task_manager")
    if role == "task_manager":
        (result,) = await results_of(caller, 1)
        assert (result["JobName"], result["Output"]) == ("report", "hello\n")
        (schedule,) = (await caller.request("GET", "/schedules")).body["schedules"]
        assert result["ScheduleID"] == schedule["ScheduleID"]
    for _ in range(3000):
        (schedule,) = (await caller.request("GET", "/schedules")).body["schedules"]
        if schedule["LastFiredAt"] or schedule["LastError"]:
            break
        await asyncio.sleep(0.02)
    assert bool(schedule["LastError"]) == (role == "viewer")
    await asyncio.sleep(0.6)
    assert len(await caller.results()) == (1 if role == "task_manager" else 0)


def host_schedules(host: Host) -> ScheduleStore:

    store = ScheduleStore(host.base_dir)
    store.open()
    return store
