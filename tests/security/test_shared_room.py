"""What one user would take so that the others have none: each has a limit, and the refusal says which."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..conftest import Answer, Caller, Host

StartHost = Callable[..., Awaitable[Host]]

TEMPLATE: dict[str, Any] = {"name": "greet", "command": "echo hello", "executionMode": "BackgroundJob"}
SCHEDULE: dict[str, Any] = {
    "name": "nightly",
    "cron": "0 3 * * *",
    "job": {"jobName": "nightly", "command": "true", "executionMode": "BackgroundJob"},
}


def assert_limited(answer: Answer, status: int, code: str, limit: str, value: int) -> None:
    """The one shape of every refusal for a limit."""
    assert (answer.status, answer.body["code"]) == (status, code), answer.body
    assert answer.body["limit"] == {"name": limit, "value": value, "used": value}
    assert f"no more than {value} are allowed" in answer.body["error"]
    assert ("Retry-After" in answer.headers) == (status == 429)


async def fill(caller: Caller, path: str, body: dict[str, Any], most: int) -> Answer:
    """Make as many as are allowed; what the next one is answered."""
    for _ in range(most):
        answer = await caller.request("POST", path, json=body)
        assert answer.status == 201, answer.body
    return await caller.request("POST", path, json=body)


async def test_one_user_fills_the_templates_of_all(start_host: StartHost) -> None:
    host = await start_host(max_templates_per_user=3, max_templates=5)
    refused = await fill(host.caller("task_manager", user_id="mallory"), "/templates", TEMPLATE, 3)
    assert_limited(refused, 409, "conflict", "maxTemplatesPerUser", 3)
    full = await fill(host.caller("task_manager"), "/templates", TEMPLATE, 2)
    assert_limited(full, 409, "conflict", "maxTemplates", 5)


async def test_one_user_fills_the_schedules_of_all(start_host: StartHost) -> None:
    host = await start_host(max_schedules_per_user=2)
    refused = await fill(host.caller("task_manager", user_id="mallory"), "/schedules", SCHEDULE, 2)
    assert_limited(refused, 409, "conflict", "maxSchedulesPerUser", 2)
    assert (await host.caller("task_manager").request("POST", "/schedules", json=SCHEDULE)).status == 201


async def test_one_user_fills_the_queue(start_host: StartHost) -> None:
    host = await start_host(max_pending_per_user=2)
    caller = host.caller("task_manager", user_id="mallory")
    later = {**SCHEDULE["job"], "delaySeconds": 3600}
    for _ in range(2):
        assert (await caller.request("POST", "/jobs/submit", json=later)).status == 200
    refused = await caller.request("POST", "/jobs/submit", json=later)
    assert_limited(refused, 429, "too_many_pending", "maxPendingPerUser", 2)
    assert (await host.caller("task_manager").request("POST", "/jobs/submit", json=later)).status == 200
