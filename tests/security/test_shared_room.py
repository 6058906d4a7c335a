"""What one user would take so that the others have none: each has a limit, and the refusal says which."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse

from ..conftest import Answer, Caller, Host
from ..gate import Gate

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


async def opened(stack: AsyncExitStack, caller: Caller, path: str) -> ClientResponse:
    """A stream whose first bytes have come, open until `stack` closes it."""
    response = await stack.enter_async_context(caller.session.get(caller.base + path))
    assert response.status == 200, await response.text()
    await response.content.readany()
    return response


async def test_a_viewer_opens_all_the_streams_there_are(start_host: StartHost) -> None:
    host = await start_host(max_streams_per_user=3, max_streams=4, heartbeat_interval=0.2)
    mallory, alice = host.caller("viewer", user_id="mallory"), host.caller("viewer")
    async with AsyncExitStack() as stack:
        for _ in range(3):
            last = await opened(stack, mallory, "/jobs/feed")
        assert_limited(
            await mallory.request("GET", "/jobs/feed"), 429, "limit_reached", "maxStreamsPerUser", 3
        )
        # Another of their keys is no way around it, and the others' room is theirs.
        other_key = host.caller("viewer", user_id="mallory")
        assert (await other_key.request("GET", "/jobs/feed")).status == 429
        await opened(stack, alice, "/jobs/feed")
        assert_limited(await alice.request("GET", "/jobs/feed"), 429, "limit_reached", "maxStreams", 4)
        last.close()
        # That it has gone is noticed at the next heartbeat.
        for _ in range(300):
            async with alice.session.get(alice.base + "/jobs/feed") as response:
                if response.status == 200:
                    break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("a stream that was closed still takes room")


async def test_streams_of_one_job_and_waiting_requests_count_too(
    start_host: StartHost, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    host = await start_host(max_streams_per_user=2)
    caller = host.caller("task_manager", user_id="mallory")
    body = {"jobName": "held", "command": gate.shell, "executionMode": "BackgroundJob"}
    waiting = asyncio.create_task(caller.request("POST", "/jobs/submit?wait=60", json=body))
    await gate.reached()
    job_id = (await caller.request("GET", "/jobs")).body["jobs"][0]["JobID"]
    async with AsyncExitStack() as stack:
        await opened(stack, caller, f"/jobs/{job_id}/events")
        for method, path in (
            ("POST", "/jobs/submit?wait=60"),
            ("POST", f"/jobs/{job_id}/rerun?wait=60"),
            ("GET", f"/jobs/{job_id}/events"),
            ("GET", f"/jobs/{job_id}/output"),
            ("GET", "/jobs/feed"),
        ):
            refused = await caller.request(method, path, **({"json": body} if "submit" in path else {}))
            assert_limited(refused, 429, "limit_reached", "maxStreamsPerUser", 2)
        # Nothing was accepted by those that were refused, and what need not wait is taken.
        assert (await caller.request("GET", "/jobs")).body["count"] == 1
        assert (await caller.request("POST", "/jobs/submit", json=body)).status == 200
    gate.open()
    assert (await waiting).body["result"]["Status"] == "Succeeded"
    output = await caller.request("GET", f"/jobs/{job_id}/output")
    assert output.status == 200


async def test_one_users_large_commands_fill_the_queues_disk(start_host: StartHost) -> None:
    host = await start_host(max_pending_bytes_per_user=10_000)
    mallory, alice = host.caller("task_manager", user_id="mallory"), host.caller("task_manager")
    large = {**SCHEDULE["job"], "command": "true " + "x" * 5_995, "delaySeconds": 3600}
    accepted = await mallory.request("POST", "/jobs/submit", json=large)
    refused = await mallory.request("POST", "/jobs/submit", json=large)
    assert (refused.status, refused.body["code"]) == (429, "too_many_pending")
    assert refused.body["limit"] == {"name": "maxPendingBytesPerUser", "value": 10_000, "used": 6_000}
    assert (await alice.request("POST", "/jobs/submit", json=large)).status == 200
    # What is cancelled waits no more.
    cancelled = await mallory.request("POST", f"/jobs/{accepted.body['jobId']}/cancel")
    assert cancelled.status == 202
    assert (await mallory.result(accepted.body["jobId"]))["Status"] == "Cancelled"
    assert (await mallory.request("POST", "/jobs/submit", json=large)).status == 200


async def test_one_users_outputs_fill_the_disk(start_host: StartHost) -> None:
    settings: dict[str, Any] = {"max_kept_bytes_per_user": 200_000, "max_output_bytes": 2_000}
    host = await start_host(**settings)
    loud = "head -c 300000 /dev/zero | tr '\\0' x"
    result = await host.caller("task_manager", user_id="mallory").run(loud)
    assert result["OutputTruncated"]
    await host.stop()
    host = await start_host(**settings)  # which looks anew
    mallory, alice = host.caller("task_manager", user_id="mallory"), host.caller("task_manager")
    for _ in range(2400):
        refused = await mallory.request("POST", "/jobs/submit", json=SCHEDULE["job"])
        if refused.status != 200:
            break
        await asyncio.sleep(0.05)
    assert (refused.status, refused.body["code"]) == (409, "too_much_kept")
    assert refused.body["limit"]["name"] == "maxKeptBytesPerUser"
    assert refused.body["limit"]["used"] > 300_000
    assert (await alice.run("echo hello"))["Output"] == "hello\n"
    deleted = await mallory.request("DELETE", f"/jobs/results?jobId={result['JobID']}")
    assert deleted.status == 200


async def test_a_full_disk_takes_jobs_that_it_cannot_keep(start_host: StartHost) -> None:
    host = await start_host(min_free_bytes=2**62)
    caller = host.caller("task_manager")
    refused = await caller.request("POST", "/jobs/submit", json=SCHEDULE["job"])
    assert (refused.status, refused.body["code"]) == (507, "insufficient_storage")
    assert int(refused.headers["Retry-After"]) > 0
    assert (await caller.request("GET", "/jobs")).body["count"] == 0
