"""Looking after others' schedules and templates where the host gave that right to somebody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..conftest import Caller, Host

StartHost = Callable[..., Awaitable[Host]]
COMMAND: dict[str, Any] = {"command": "echo mine", "executionMode": "BackgroundJob"}
SCHEDULE: dict[str, Any] = {"name": "nightly", "cron": "0 3 1 1 *", "job": {"jobName": "report", **COMMAND}}
TEMPLATE: dict[str, Any] = {"name": "greet", **COMMAND}
ROWS = {"manage_all_schedules": ["auditor"], "manage_all_templates": ["auditor"]}


async def schedule(caller: Caller) -> str:
    answer = await caller.request("POST", "/schedules", json=SCHEDULE)
    assert answer.status == 201, answer.body
    return f"/schedules/{answer.body['schedule']['ScheduleID']}"


async def template(caller: Caller) -> str:
    answer = await caller.request("POST", "/templates", json=TEMPLATE)
    assert answer.status == 201, answer.body
    return f"/templates/{answer.body['template']['TemplateID']}"


async def test_an_admin_without_the_row_reads_changes_or_deletes_others_schedules(
    start_host: StartHost,
) -> None:
    host = await start_host(endpoint_roles=ROWS)
    path = await schedule(host.caller("task_manager"))
    admin = host.caller("system_admin", "site_admin", user_id="root")
    answers = [
        await admin.request("GET", "/schedules?scope=all"),
        await admin.request("GET", path),
        await admin.request("PATCH", path, json={"enabled": False}),
        await admin.request("DELETE", path),
    ]
    assert [answer.status for answer in answers] == [403] * 4
    assert "manage_all_schedules" not in (await admin.request("GET", "/me")).body["me"]["permissions"]


async def test_whoever_disables_a_schedule_has_it_enabled_again_by_an_admin_without_the_row(
    start_host: StartHost,
) -> None:
    host = await start_host(endpoint_roles=ROWS)
    admin = host.caller("task_manager", "site_admin", user_id="root")
    path = await schedule(admin)
    auditor = host.caller("auditor", user_id="eve")
    assert (await auditor.request("PATCH", path, json={"enabled": False})).status == 200
    assert (await admin.request("PATCH", path, json={"enabled": True})).status == 403
    assert (await auditor.request("PATCH", path, json={"enabled": True})).status == 200


async def test_an_admin_without_the_row_sees_changes_or_deletes_others_templates(
    start_host: StartHost,
) -> None:
    host = await start_host(endpoint_roles=ROWS)
    path = await template(host.caller("task_manager"))
    admin = host.caller("system_admin", user_id="root")
    answers = [
        await admin.request("GET", path),
        await admin.request("PUT", path, json=TEMPLATE),
        await admin.request("DELETE", path),
    ]
    assert [answer.status for answer in answers] == [404] * 3


async def test_whom_the_rows_name_looks_after_everybodys(start_host: StartHost) -> None:
    host = await start_host(endpoint_roles=ROWS)
    owner = host.caller("task_manager")
    of_schedule, of_template = await schedule(owner), await template(owner)
    auditor = host.caller("auditor", "task_manager", user_id="eve")
    assert (await auditor.request("GET", "/schedules?scope=all")).body["count"] == 1
    assert (await auditor.request("GET", of_template)).body["template"]["MayEdit"] is True
    for path in (of_schedule, of_template):
        assert (await auditor.request("DELETE", path)).status == 200
