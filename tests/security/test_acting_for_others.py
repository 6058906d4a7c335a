"""Running what one wants in somebody else's name, or undoing what an administrator did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.records import ScheduleStore

from ..conftest import Answer, Caller, Host
from ..gate import PATIENCE_SECONDS

StartHost = Callable[..., Awaitable[Host]]
JOB: dict[str, Any] = {"jobName": "report", "command": "echo mine", "executionMode": "BackgroundJob"}
NIGHTLY: dict[str, Any] = {"name": "nightly", "cron": "0 3 1 1 *", "job": JOB}


async def schedule(caller: Caller, **fields: Any) -> dict[str, Any]:
    answer = await caller.request("POST", "/schedules", json={**NIGHTLY, **fields})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body["schedule"]
    return made


async def change(caller: Caller, made: dict[str, Any], **fields: Any) -> Answer:
    return await caller.request("PATCH", f"/schedules/{made['ScheduleID']}", json=fields)


@pytest.mark.parametrize(
    "edit",
    [
        {"job": {"command": "echo theirs"}},
        {"job": {"executionMode": "Runspace"}},
        {"job": {"interpreter": "python"}},
        {"job": {"retry": {"count": 3}}},
        {"job": {"notify": [{"channel": "webhook", "url": "https://example.org/"}]}},
        {"cron": "0 4 1 1 *"},
        {"timezone": "Europe/Berlin"},
        {"overlapPolicy": "replace"},
        {"jitterSeconds": 60},
    ],
)
async def test_an_admin_has_a_command_or_time_of_theirs_run_as_the_owner(
    host: Host, edit: dict[str, Any]
) -> None:
    made = await schedule(host.caller("task_manager"))
    admin = host.caller("system_admin", user_id="root")
    answer = await change(admin, made, **edit)
    assert answer.status == 200, answer.body
    changed = answer.body["schedule"]
    assert (changed["UserID"], changed["UpdatedBy"], changed["Roles"]) == ("root", "root", ["system_admin"])
    assert changed["SubmittedWith"] != made["SubmittedWith"]


async def test_what_an_admin_changed_runs_in_the_name_of_its_first_owner(start_host: StartHost) -> None:
    host = await start_host()
    made = await schedule(host.caller("task_manager"), cron="0 * * * *", misfirePolicy="run_once")
    admin = host.caller("system_admin", user_id="root")
    assert (await change(admin, made, job={"command": "echo theirs"})).status == 200
    await host.stop()
    _miss_a_moment(host, made["ScheduleID"])
    host = await start_host()
    alice, admin = host.caller("task_manager"), host.caller("system_admin", user_id="root")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (results := await admin.results()):
            await asyncio.sleep(0.05)
    assert [(each["UserID"], each["Output"]) for each in results] == [("root", "theirs\n")]
    assert await alice.results() == []


def _miss_a_moment(host: Host, schedule_id: str) -> None:
    """As if the host, which is stopped, had been so for hours."""
    store = ScheduleStore(host.base_dir)
    store.open()
    past = datetime.now(UTC) - timedelta(hours=3)
    store.change(schedule_id, lambda each: each.model_copy(update={"active_since": past}))


async def test_an_admin_without_the_modes_role_changes_what_runs_in_it(host: Host) -> None:
    made = await schedule(host.caller("debug"), job={**JOB, "command": "1", "executionMode": "MainLoop"})
    admin = host.caller("system_admin", user_id="root")
    for edit in ({"job": {"command": "2"}}, {"cron": "0 4 1 1 *"}):
        answer = await change(admin, made, **edit)
        assert (answer.status, answer.body["code"]) == (403, "forbidden")
        assert "would make the schedule yours" in answer.body["error"]
        assert "MainLoop execution mode requires 'debug' role" in answer.body["error"]
    assert (await change(admin, made, name="renamed", enabled=False)).status == 200


async def test_a_weaker_key_of_the_same_user_decides_when_the_stronger_ones_command_runs(host: Host) -> None:
    made = await schedule(host.caller("debug"), job={**JOB, "command": "1", "executionMode": "MainLoop"})
    answer = await change(host.caller("task_manager"), made, cron="0 4 1 1 *")
    assert (answer.status, answer.body["code"]) == (403, "forbidden")


async def test_an_admins_renaming_or_switching_off_does_not_take_a_schedule_away(host: Host) -> None:
    made = await schedule(host.caller("task_manager"))
    admin = host.caller("system_admin", user_id="root")
    # As the page sends it: everything, whether it was changed or not.
    same = {"cron": made["Cron"], "timezone": made["Timezone"], "job": {**JOB, "description": ""}}
    answer = await change(admin, made, name="renamed", **same)
    assert (answer.status, answer.body["schedule"]["UserID"]) == (200, "alice")
    answer = await change(admin, made, enabled=False)
    assert (answer.body["schedule"]["UserID"], answer.body["schedule"]["DisabledBy"]) == ("alice", "root")
    answer = await change(admin, made, enabled=True)
    assert (answer.body["schedule"]["UserID"], answer.body["schedule"]["DisabledBy"]) == ("alice", None)


async def test_the_owner_switches_on_again_what_an_admin_switched_off(host: Host) -> None:
    alice, admin = host.caller("task_manager"), host.caller("system_admin", user_id="root")
    made = await schedule(alice)
    assert (await change(admin, made, enabled=False)).status == 200
    # Switching it off once more does not make it theirs to switch on, nor does changing it.
    for edit in ({"enabled": False}, {"cron": "0 5 1 1 *"}, {"job": {"command": "echo other"}}):
        assert (await change(alice, made, **edit)).status == 200
    for edit in ({"enabled": True}, {"enabled": True, "job": {"command": "echo third"}}):
        refused = await change(alice, made, **edit)
        assert (refused.status, refused.body["code"]) == (403, "forbidden")
        assert "root" in refused.body["error"]
    other_admin = host.caller("site_admin", user_id="boss")
    assert (await change(other_admin, made, enabled=True)).status == 200
    assert (await change(alice, made, enabled=False)).body["schedule"]["DisabledBy"] == "alice"
    assert (await change(alice, made, enabled=True)).status == 200


async def test_an_admin_who_keeps_a_schedule_off_that_its_owner_switched_off(host: Host) -> None:
    alice, admin = host.caller("task_manager"), host.caller("system_admin", user_id="root")
    made = await schedule(alice, enabled=False)
    assert made["DisabledBy"] == "alice"
    assert (await change(admin, made, enabled=False)).body["schedule"]["DisabledBy"] == "root"
    assert (await change(alice, made, enabled=True)).status == 403


async def test_running_anothers_job_again_runs_it_with_their_rights(host: Host) -> None:
    theirs = host.caller("debug", user_id="dora")
    job_id = await theirs.submit("1", mode="MainLoop")
    await theirs.result(job_id)
    admin = host.caller("system_admin", user_id="root")
    answer = await admin.request("POST", f"/jobs/{job_id}/rerun")
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    other = await theirs.submit("echo hello")
    await theirs.result(other)
    again = await admin.request("POST", f"/jobs/{other}/rerun")
    assert (await admin.result(again.body["jobId"]))["UserID"] == "root"


async def test_cancelling_anothers_job_without_being_named(host: Host) -> None:
    alice, admin = host.caller("task_manager"), host.caller("system_admin", user_id="root")
    job_id = await alice.submit("sleep 60")
    assert (await admin.request("POST", f"/jobs/{job_id}/cancel")).status == 202
    result = await alice.result(job_id)
    assert (result["UserID"], result["CancelledBy"]) == ("alice", "root")
