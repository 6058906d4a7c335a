"""Notices as users meet them: asked for with a job, sent when it ends, listed, repeated, deleted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from tests.conftest import Caller, Host
from tests.gate import Gate, until
from tests.notify.support import MailServer, Receiver

from ..engines import BOTH

StartHost = Callable[..., Awaitable[Host]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    server = MailServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def host(start_host: StartHost, mail: MailServer) -> Host:
    return await start_host(
        webhook_allowed_hosts=["127.0.0.1"],
        notice_retry_seconds=0.05,
        notice_max_attempts=3,
        **mail.settings(),
    )


async def notices(caller: Caller, query: str = "") -> list[dict[str, Any]]:
    answer = await caller.request("GET", f"/notices{query}")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.body["notices"]
    assert answer.body["count"] == len(found)
    return found


async def settled(caller: Caller, count: int = 1) -> list[dict[str, Any]]:
    """All notices, once there are `count` and none waits."""
    for _ in range(3000):
        found = await notices(caller)
        if len(found) >= count and not any(each["State"] == "pending" for each in found):
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("the notices were not sent")


def hook(receiver: Receiver, on: Any = "always") -> list[dict[str, Any]]:
    return [{"channel": "webhook", "url": receiver.url, "on": on}]


async def test_a_job_tells_by_mail_and_webhook_how_it_ended(
    host: Host, mail: MailServer, receiver: Receiver
) -> None:
    alice = host.caller("task_manager")
    rules = [{"channel": "email", "to": ["ops@example.org"], "on": "failure"}, *hook(receiver)]
    result = await alice.run("echo no luck; exit 3", jobName="Nightly", notify=rules)
    assert [rule["channel"] for rule in result["Notify"]] == ["email", "webhook"]
    found = await settled(alice, 2)
    assert {each["State"] for each in found} == {"sent"}
    assert mail.messages[0]["Subject"] == "[aiohttp-jobs] Nightly failed"
    told = json.loads(receiver.requests[0].body)
    assert (told["job"]["JobID"], told["job"]["ExitCode"]) == (result["JobID"], 3)
    assert set(found[0]) == {
        "NoticeID", "JobID", "JobName", "UserID", "Channel", "Target", "Event", "State", "Attempts",
        "LastError",
        "CreatedAt", "NextAttemptAt", "SentAt",
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["MainLoop", "Runspace", "BackgroundJob"])
async def test_in_every_mode(host: Host, receiver: Receiver, mode: str) -> None:
    alice = host.caller("debug")
    await alice.run("print(1)", mode, interpreter="python", notify=hook(receiver))
    assert [each["Event"] for each in await settled(alice)] == ["success"]


@BOTH
async def test_first_failure_and_recovery_compare_with_the_job_of_the_same_name(
    host: Host, receiver: Receiver
) -> None:
    alice, bob = host.caller("task_manager"), host.caller("task_manager", user_id="bob")
    rules = hook(receiver, ["first_failure", "recovery"])
    await bob.run("exit 1", notify=rules)
    for command in ("true", "exit 1", "exit 1", "exit 1", "true", "true", "exit 1"):
        await alice.run(command, notify=rules)
        await alice.run("true", jobName="another")
    found = await settled(alice, 3)
    assert [each["Event"] for each in reversed(found)] == ["first_failure", "recovery", "first_failure"]
    assert [each["Event"] for each in await settled(bob)] == ["first_failure"]


async def test_a_cancelled_job_in_between_makes_no_difference(
    host: Host, receiver: Receiver, tmp_path: Any
) -> None:
    alice, gate = host.caller("task_manager"), Gate(tmp_path / "gate")
    rules = hook(receiver, ["first_failure", "recovery"])

    async def cancel_one() -> None:
        job_id = await alice.submit(gate.shell)
        await alice.request("POST", f"/jobs/{job_id}/cancel")
        assert (await alice.result(job_id))["Status"] == "Cancelled"

    for command in ("exit 1", "exit 1", "true"):
        await alice.run(command, notify=rules)
        await cancel_one()
    assert [each["Event"] for each in reversed(await settled(alice, 2))] == ["first_failure", "recovery"]


@BOTH
async def test_only_the_last_attempt_of_a_retried_job_is_told(
    host: Host, receiver: Receiver, tmp_path: Any
) -> None:
    alice = host.caller("task_manager")
    command = f"echo x >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) = 3"
    retry = {"count": 5, "backoffSeconds": 0.01, "backoffFactor": 1}
    await alice.run(command, retry=retry, notify=hook(receiver))
    (notice,) = await settled(alice)
    assert notice["Event"] == "success"
    assert json.loads(receiver.requests[0].body)["job"]["Attempt"] == 3


async def test_a_cancelled_job_is_told_to_those_who_want_everything(
    host: Host, receiver: Receiver, tmp_path: Any
) -> None:
    alice, gate = host.caller("task_manager"), Gate(tmp_path / "gate")
    job_id = await alice.submit(gate.shell, notify=[*hook(receiver), *hook(receiver, "failure")])
    await gate.reached()
    assert await notices(alice) == []
    await alice.request("POST", f"/jobs/{job_id}/cancel")
    assert [each["Event"] for each in await settled(alice)] == ["cancelled"]


@BOTH
async def test_a_schedules_job_tells_too(host: Host, receiver: Receiver) -> None:
    alice = host.caller("task_manager")
    job = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob", "notify": hook(receiver)}
    body = {"name": "often", "cron": "* * * * *", "job": job}
    made = await alice.request("POST", "/schedules", json=body)
    assert made.status == 201, made.body
    assert made.body["schedule"]["Job"]["Notify"] == [
        {"on": ["always"], "channel": "webhook", "url": receiver.url}
    ]
    path = f"/schedules/{made.body['schedule']['ScheduleID']}"
    assert (await alice.request("PATCH", path, json={"job": {"notify": []}})).status == 200
    bad = {**body, "job": {**job, "notify": [{"channel": "webhook", "url": "http://localhost/"}]}}
    answer = await alice.request("POST", "/schedules", json=bad)
    assert answer.status == 422
    assert answer.body["details"][0]["field"] == "job.notify.0.url"


async def test_a_lost_mail_server_harms_no_job(host: Host, mail: MailServer) -> None:
    await mail.stop()
    alice = host.caller("task_manager")
    rules = [{"channel": "email", "to": ["ops@example.org"]}]
    for _ in range(5):
        assert (await alice.run("echo done", notify=rules))["Status"] == "Succeeded"
    found = await settled(alice, 5)
    assert {(each["State"], each["LastError"]) for each in found} == {
        ("failed", "The mail server cannot be reached.")
    }
    await mail.start()
    answer = await alice.request("POST", f"/notices/{found[0]['NoticeID']}/retry")
    assert answer.status == 202
    assert answer.body["notice"]["State"] == "pending"
    await until(lambda: mail.messages, "a message")
    states = [each["State"] for each in await settled(alice, 5)]
    assert sorted(states) == ["failed"] * 4 + ["sent"]


async def test_a_folder_that_cannot_be_written_harms_no_job(host: Host, receiver: Receiver) -> None:
    alice = host.caller("task_manager")
    (host.base_dir / "Notices" / "prepared").rmdir()
    assert (await alice.run("echo done", notify=hook(receiver)))["Status"] == "Succeeded"
    await until(lambda: receiver.requests, "the notice, nevertheless")


async def test_without_a_mail_server_email_is_refused_at_once(start_host: StartHost) -> None:
    alice = (await start_host()).caller("task_manager")
    answer = await alice.request(
        "POST",
        "/jobs/submit",
        json={
            "jobName": "j",
            "command": "true",
            "executionMode": "BackgroundJob",
            "notify": [{"channel": "email", "to": ["ops@example.org"]}],
        },
    )
    assert (answer.status, answer.body["code"]) == (422, "invalid_fields")
    assert "mail server" in answer.body["error"]
    assert answer.body["details"][0]["field"] == "notify.0.channel"
    assert await alice.results() == []


BAD_RULES: list[Any] = [
    # what is no list of rules, or has one that is none
    5, "email", {}, None, [None], [{}], [{"channel": "email"}], [{"channel": "email", "to": ["a b"]}],
    [{"channel": "email", "to": ["a@b.c\r\nBcc: d@e.f"]}], [{"channel": "email", "to": ["a@b.c"] * 21}],
    [{"channel": "email", "to": ["a@b.c"], "on": "now"}], [{"channel": "webhook", "url": "gopher://x"}],
    [{"channel": "webhook", "url": "https://u:p@example.org/"}], [{"channel": "webhook", "url": "http://[::1]/"}],
    [{"channel": "webhook", "url": "http://169.254.169.254/"}], [{"channel": "webhook", "url": "\ud800"}],
    [{"channel": "email", "to": ["a@b.c"]}] * 11,
]  # fmt: skip


async def test_bad_rules_are_refused(host: Host) -> None:
    alice = host.caller("task_manager")
    for notify in BAD_RULES:
        body = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob", "notify": notify}
        answer = await alice.request("POST", "/jobs/submit", json=body)
        assert (answer.status, answer.body["code"]) == (422, "invalid_fields"), notify
        assert answer.body["details"][0]["field"].startswith("notify"), notify


async def test_a_host_without_webhooks_says_so(start_host: StartHost) -> None:
    host = await start_host(webhook_enabled=False)
    alice = host.caller("task_manager")
    rules = [{"channel": "webhook", "url": "https://example.org/"}]
    job = {"command": "true", "executionMode": "BackgroundJob", "notify": rules}
    for path, body in (
        ("/jobs/submit", {**job, "jobName": "j"}),
        ("/templates", {**job, "name": "t"}),
        ("/schedules", {"name": "s", "cron": "@daily", "job": {**job, "jobName": "j"}}),
    ):
        answer = await alice.request("POST", path, json=body)
        assert answer.status == 422, path
        assert "this server sends none (webhook_enabled)" in answer.body["error"]


async def test_lists_can_be_narrowed(host: Host, receiver: Receiver) -> None:
    alice = host.caller("task_manager")
    receiver.answers = [web.Response(status=404)]
    first = await alice.run("true", notify=hook(receiver))
    await settled(alice)
    second = await alice.run("true", notify=hook(receiver))
    await settled(alice, 2)
    assert [each["JobID"] for each in await notices(alice)] == [second["JobID"], first["JobID"]]
    assert [each["JobID"] for each in await notices(alice, "?limit=1")] == [second["JobID"]]
    assert [each["JobID"] for each in await notices(alice, "?state=failed")] == [first["JobID"]]
    assert len(await notices(alice, "?state=failed,sent")) == 2
    assert await notices(alice, "?state=pending") == []
    assert len(await notices(alice, f"?jobId={second['JobID']}")) == 1


BAD_QUERIES = (
    "state=prepared", "state=", "jobId=", "jobId=x", "limit=0", "limit=1001", "limit=x", "scope=everything",
)  # fmt: skip


async def test_bad_queries_are_refused(host: Host) -> None:
    caller = host.caller()
    for query in BAD_QUERIES:
        answer = await caller.request("GET", f"/notices?{query}")
        assert (answer.status, answer.body["code"]) == (422, "invalid_fields"), query


async def test_own_notices_only_and_everybodys_for_admins(host: Host, receiver: Receiver) -> None:
    alice, bob = host.caller("task_manager"), host.caller("debug", user_id="bob")
    admin = host.caller("system_admin", user_id="root")
    await alice.run("true", notify=hook(receiver))
    (notice,) = await settled(alice)
    path = f"/notices/{notice['NoticeID']}"
    assert await notices(bob) == await notices(admin) == []
    assert (await bob.request("GET", "/notices?scope=all")).status == 403
    assert await notices(admin, "?scope=all") == [notice]
    for method, end in (("POST", "/retry"), ("DELETE", "")):
        refused = await bob.request(method, path + end)
        assert (refused.status, refused.body["code"]) == (403, "forbidden")
    assert (await alice.request("POST", path + "/retry")).status == 409
    assert (await admin.request("POST", path + "/retry")).status == 409
    assert (await admin.request("DELETE", path)).status == 200
    assert await notices(alice) == []
    assert (await alice.request("DELETE", path)).status == 404


async def test_one_that_is_deleted_while_it_waits_is_not_sent(
    start_host: StartHost, receiver: Receiver
) -> None:
    host = await start_host(
        webhook_allow_private=True, webhook_allowed_ports="any", notice_retry_seconds=3600
    )
    alice = host.caller("task_manager")
    receiver.answers = [web.Response(status=500)]
    await alice.run("true", notify=hook(receiver))
    await until(lambda: receiver.requests, "the first attempt")
    (notice,) = await notices(alice)
    assert (await alice.request("DELETE", f"/notices/{notice['NoticeID']}")).status == 200
    assert (await alice.request("POST", f"/notices/{notice['NoticeID']}/retry")).status == 404
    assert await notices(alice) == []
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(("method", "end"), [("POST", "/retry"), ("DELETE", "")])
async def test_bad_ids_and_strangers(host: Host, method: str, end: str) -> None:
    alice = host.caller("task_manager")
    for bad in ("x", "%2e%2e", "..%2f..%2fSecrets%2fwebhook", "1" * 36, str(uuid4()).upper() + "x"):
        assert (await alice.request(method, f"/notices/{bad}{end}")).status in {404, 422}
    assert (await alice.request(method, f"/notices/{uuid4()}{end}")).status == 404
    assert (await host.stranger().request(method, f"/notices/{uuid4()}{end}")).status == 401
    assert (await host.stranger().request("GET", "/notices")).status == 401


async def test_a_page_of_another_site_cannot_use_the_users_cookie(host: Host) -> None:
    alice = await host.signed_in("task_manager")
    headers = {"Origin": "https://evil.example"}
    for method, end in (("POST", "/retry"), ("DELETE", "")):
        answer = await alice.request(method, f"/notices/{uuid4()}{end}", headers=headers)
        assert (answer.status, answer.body["code"]) == (403, "cross_origin")


async def test_roles_can_be_asked_for(start_host: StartHost) -> None:
    rows = {name: frozenset({"auditor"}) for name in ("list_notices", "manage_notices")}
    host = await start_host(endpoint_roles=rows)
    alice, auditor = host.caller("task_manager"), host.caller("auditor", user_id="eve")
    assert (await alice.request("GET", "/notices")).status == 403
    assert (await alice.request("DELETE", f"/notices/{uuid4()}")).status == 403
    assert (await alice.request("POST", f"/notices/{uuid4()}/retry")).status == 403
    assert (await auditor.request("GET", "/notices")).status == 200
    assert (await auditor.request("DELETE", f"/notices/{uuid4()}")).status == 404


async def test_jobs_without_notify_leave_no_trace(host: Host) -> None:
    alice = host.caller("task_manager")
    assert (await alice.run("exit 1"))["Notify"] == []
    assert await notices(alice) == []
