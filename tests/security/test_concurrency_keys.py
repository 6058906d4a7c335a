"""Holding up somebody else's jobs by guessing their concurrency key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..conftest import Answer, Caller, Host
from ..gate import Gate, until

StartHost = Callable[..., Awaitable[Host]]
JOB: dict[str, Any] = {"jobName": "backup", "command": "true", "executionMode": "BackgroundJob"}


async def post(caller: Caller, path: str, **body: Any) -> Answer:
    return await caller.request("POST", path, json=body)


async def waits(caller: Caller, job_id: str) -> bool:
    """Whether the job waits, after a job that came later has run."""
    await caller.run("true")
    job = (await caller.request("GET", f"/jobs/{job_id}")).body["job"]
    return bool(job["Status"] in ("Queued", "Pending"))


async def test_another_user_holds_up_an_admins_nightly_job(host: Host, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    mallory, admin = host.caller("task_manager", user_id="mallory"), host.caller("system_admin")
    await mallory.submit(gate.shell, concurrencyKey="backup")
    await gate.reached()
    assert (await admin.run("echo done", concurrencyKey="backup"))["Output"] == "done\n"
    # Their own jobs with the key wait for each other as before, under the name that they gave it.
    second = await mallory.submit("true", concurrencyKey="backup")
    assert await waits(mallory, second)
    shown = (await mallory.request("GET", "/queue")).body["queue"]["jobs"]
    assert [each["ConcurrencyKey"] for each in shown] == ["backup"]
    gate.open()
    assert (await mallory.result(second))["Status"] == "Succeeded"


async def test_another_user_holds_it_up_from_another_process(start_host: StartHost, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    one, other = await start_host(), await start_host()
    mallory = one.caller("task_manager", user_id="mallory")
    await mallory.submit(gate.shell, concurrencyKey="backup")
    await gate.reached()
    admin = other.caller("system_admin")
    assert (await admin.run("echo done", concurrencyKey="backup"))["Output"] == "done\n"
    there = other.caller("task_manager", user_id="mallory")
    second = await there.submit("true", concurrencyKey="backup")
    assert await waits(there, second)
    gate.open()
    assert (await there.result(second))["Status"] == "Succeeded"


async def test_who_may_not_share_keys_takes_one_that_all_share(host: Host) -> None:
    mallory = host.caller("task_manager", user_id="mallory")
    job, schedule = {**JOB, "concurrencyKey": "shared:backup"}, {"name": "mine", "cron": "@daily"}
    template = {**job, "name": "mine"}
    del template["jobName"]
    for path, body in (
        ("/jobs/submit", job),
        ("/schedules", {**schedule, "job": job}),
        ("/templates", template),
    ):
        refused = await post(mallory, path, **body)
        assert (refused.status, refused.body["code"]) == (403, "forbidden")
        assert "shared:" in refused.body["error"]
    made = await post(mallory, "/schedules", **schedule, job=JOB)
    path = f"/schedules/{made.body['schedule']['ScheduleID']}"
    changed = await mallory.request("PATCH", path, json={"job": {"concurrencyKey": "shared:backup"}})
    assert changed.status == 403


async def test_jobs_of_those_who_may_share_a_key_exclude_each_other(host: Host, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    admin, other = host.caller("system_admin"), host.caller("debug", user_id="dora")
    await admin.submit(gate.shell, concurrencyKey="shared:backup")
    await gate.reached()
    second = await other.submit("true", concurrencyKey="shared:backup")
    assert await waits(other, second)
    again = host.caller("task_manager", user_id="mallory")
    assert (await again.run("true", concurrencyKey="backup"))["Status"] == "Succeeded"
    gate.open()
    assert (await other.result(second))["Status"] == "Succeeded"


async def test_runs_of_one_template_exclude_each_other_and_nothing_else(host: Host, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    author = host.caller("task_manager")
    template = {"name": "backup", "command": gate.shell, "executionMode": "BackgroundJob"}
    made = await post(author, "/templates", **template, concurrencyKey="backup", runRoles=["clerk"])
    path = f"/templates/{made.body['template']['TemplateID']}/run"
    first, second = (
        host.caller("clerk", user_id="mallory"),
        host.caller("clerk", "task_manager", user_id="bob"),
    )
    await post(first, path)
    await gate.reached()
    job_id = (await post(second, path)).body["jobId"]
    assert await waits(second, job_id)
    assert (await second.run("true", concurrencyKey="backup"))["Status"] == "Succeeded"
    gate.open()
    assert (await second.result(job_id))["Status"] == "Succeeded"


async def test_keys_without_end_leave_files_without_end(host: Host) -> None:
    caller = host.caller("task_manager", user_id="mallory")
    for number in range(5):
        await caller.run("true", concurrencyKey=f"key {number}")
    folder = host.base_dir / "Running" / ".keys"
    await until(lambda: not list(folder.iterdir()), "the removal of the locks")
