"""The door: rights that were given once. With a ``roles_resolver`` they end when the host takes them away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aiohttp_jobs import Identity
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.engine.embedded.records import ScheduleStore
from aiohttp_jobs.model.schedule import Schedule

from ..conftest import Caller, Host
from ..notify.support import Receiver
from ..scheduling.support import make_schedule

StartHost = Callable[..., Awaitable[Host]]

JOB: dict[str, Any] = {"jobName": "test", "command": "echo ran", "executionMode": "BackgroundJob"}
SCHEDULE: dict[str, Any] = {"name": "every minute", "cron": "* * * * *", "job": JOB}
SECONDS = 120.0


class Directory:
    """The host's user table: a ``roles_resolver`` that a test changes, breaks and holds up."""

    def __init__(self, **roles: set[str]) -> None:
        self.roles = roles
        self.asked = 0
        self.fault: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, user_id: str) -> set[str] | None:
        self.asked += 1
        await self.go_on.wait()
        if self.fault is not None:
            raise self.fault
        return self.roles.get(user_id)


async def start(start_host: StartHost, directory: Directory, **settings: Any) -> Host:
    return await start_host(**{"roles_resolver": directory, "roles_cache_seconds": 0, **settings})


def missed_schedule(submitted_with: str) -> Schedule:
    """A schedule of alice's that has a moment to make up for."""
    past = datetime.now(UTC) - timedelta(hours=3)
    moments = {"created_at": past, "updated_at": past, "active_since": past}
    return make_schedule(misfire_policy="run_once", submitted_with=submitted_with, **moments)


def keep(base_dir: Path, schedule: Schedule) -> None:
    """Have it lie in the data folder of a host that is to start."""
    store = ScheduleStore(base_dir)
    store.open()
    store.add(schedule, 100)


async def schedule_with(caller: Caller, schedule_id: str, field: str) -> dict[str, Any]:
    """The schedule, as soon as it has `field`."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await caller.request("GET", f"/schedules/{schedule_id}")
            assert answer.status == 200, answer.body
            schedule: dict[str, Any] = answer.body["schedule"]
            if schedule[field] is not None:
                return schedule
            await asyncio.sleep(0.02)


async def until_refused(caller: Caller, path: str, status: int) -> str:
    """The sentence with which `path` is refused to `caller`, as soon as it is."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await caller.request("GET", path)
            if answer.status != 200:
                assert answer.status == status, answer.body
                return str(answer.body["error"])
            await asyncio.sleep(0.05)


# --- sessions


async def test_an_admin_who_was_removed_reads_nobodys_jobs(start_host: StartHost) -> None:
    directory = Directory(root={"system_admin"}, alice={"task_manager"})
    host = await start(start_host, directory)
    admin, alice = await host.signed_in("system_admin", user_id="root"), await host.signed_in("task_manager")
    job_id = await alice.submit("echo secret")
    await alice.result(job_id)
    assert (await admin.request("GET", f"/results/{job_id}")).status == 200
    del directory.roles["root"]
    for method, path in (
        ("GET", f"/results/{job_id}"),
        ("GET", "/jobs?scope=all"),
        ("POST", "/queue/pause"),
        ("POST", "/api-keys"),
        ("GET", "/me"),
    ):
        answer = await admin.request(method, path, json={"name": "backdoor", "roles": ["debug"]})
        assert (answer.status, answer.body["code"]) == (401, "not_authenticated"), path
        assert "'root' no longer exists" in answer.body["error"]
    assert ApiKeys.in_data_dir(host.config.data_dir).all() == []


async def test_a_role_that_was_taken_away_is_used_no_more(start_host: StartHost) -> None:
    directory = Directory(alice={"debug"})
    host = await start(start_host, directory)
    alice = await host.signed_in("debug")
    assert (await alice.request("POST", "/jobs/submit", json=JOB)).status == 200
    directory.roles["alice"] = set()
    assert (await alice.request("POST", "/jobs/submit", json=JOB)).status == 403
    assert (await alice.request("GET", "/me")).body["me"]["roles"] == ["authenticated"]


async def test_whoever_signs_in_with_roles_that_they_never_had_gets_none(start_host: StartHost) -> None:
    host = await start(start_host, Directory(alice={"task_manager"}))
    alice = await host.signed_in("debug", "site_admin")
    assert (await alice.request("GET", "/me")).body["me"]["roles"] == ["authenticated", "task_manager"]


async def test_a_role_outlives_its_end_by_the_cache_and_no_longer(start_host: StartHost) -> None:
    directory = Directory(alice={"task_manager"})
    host = await start_host(roles_resolver=directory, roles_cache_seconds=3)
    alice = await host.signed_in("task_manager")
    for _ in range(5):
        assert (await alice.request("GET", "/me")).status == 200
    assert directory.asked < 5
    del directory.roles["alice"]
    assert "no longer exists" in await until_refused(alice, "/me", 401)


async def test_a_token_of_the_hosts_own_gets_no_more_than_its_user_has(start_host: StartHost) -> None:
    async def resolve(_request: web.Request) -> Identity | None:
        return Identity("alice", roles=frozenset({"task_manager", "debug"}))

    directory = Directory(alice={"task_manager", "system_admin"})
    host = await start(start_host, directory, identity_resolver=resolve)
    caller = host.stranger()
    assert (await caller.request("GET", "/me")).body["me"]["roles"] == ["authenticated", "task_manager"]
    del directory.roles["alice"]
    assert (await caller.request("GET", "/me")).status == 401


async def test_an_open_stream_tells_a_removed_user_nothing_more(start_host: StartHost) -> None:
    directory = Directory(alice={"task_manager"}, bob={"task_manager"})
    host = await start(start_host, directory, heartbeat_interval=0.2)
    alice = await host.signed_in("task_manager")
    job_id = await alice.submit("while :; do echo more; sleep 0.1; done")
    async with alice.session.get(f"{alice.base}/jobs/{job_id}/events") as stream:
        assert b"event" in await stream.content.readany()
        del directory.roles["alice"]
        async with asyncio.timeout(SECONDS):
            while await stream.content.readany():
                pass
    directory.roles["alice"] = {"task_manager"}
    assert (await alice.request("POST", f"/jobs/{job_id}/cancel", json={})).status == 202


# --- keys


async def test_a_key_outlives_the_roles_of_its_user(start_host: StartHost) -> None:
    directory = Directory(alice={"debug", "task_manager"})
    host = await start(start_host, directory)
    key = host.caller("debug")
    assert (await key.run("echo ran"))["Output"] == "ran\n"
    directory.roles["alice"] = {"task_manager"}
    assert (await key.request("POST", "/jobs/submit", json=JOB)).status == 403
    assert (await key.request("GET", "/me")).body["me"]["roles"] == ["authenticated"]


async def test_a_key_outlives_its_user(start_host: StartHost) -> None:
    directory = Directory(alice={"debug"})
    host = await start(start_host, directory)
    key = host.caller("debug")
    job_id = await key.submit("echo ran", delaySeconds=3)
    del directory.roles["alice"]
    refused = await key.request("GET", "/me")
    assert (refused.status, refused.body["code"]) == (401, "not_authenticated")
    assert "'alice' is not known" in refused.body["error"]
    assert "service key" in refused.body["error"]
    directory.roles["bob"] = {"system_admin"}
    admin = await host.signed_in(user_id="bob")
    async with asyncio.timeout(SECONDS):
        while (answer := await admin.request("GET", f"/results/{job_id}")).status != 200:
            await asyncio.sleep(0.05)
    assert answer.body["result"]["Status"] == "Rejected"
    assert "'alice' is not known" in answer.body["result"]["Output"]


async def test_a_service_key_works_for_a_user_whom_the_host_does_not_know(start_host: StartHost) -> None:
    directory = Directory()
    host = await start(start_host, directory)
    program = host.caller("task_manager", user_id="ci", service=True)
    assert (await program.run("echo ran"))["Output"] == "ran\n"
    directory.roles["ci"] = set()
    assert (await program.request("POST", "/jobs/submit", json=JOB)).status == 403


# --- jobs, schedules, templates


async def test_waiting_jobs_of_a_removed_user_run_and_report(start_host: StartHost) -> None:
    directory = Directory(alice={"task_manager"}, root={"system_admin"})
    host = await start(start_host, directory)
    alice, root = await host.signed_in(), await host.signed_in(user_id="root")
    await root.request("POST", "/queue/pause", json={})
    job_id = await alice.submit("echo ran")
    del directory.roles["alice"]
    await root.request("POST", "/queue/resume", json={})
    async with asyncio.timeout(SECONDS):
        while (answer := await root.request("GET", f"/results/{job_id}")).status != 200:
            await asyncio.sleep(0.05)
    assert answer.body["result"]["Status"] == "Rejected"
    assert answer.body["result"]["Output"] == "[ERROR] The user 'alice' no longer exists.\n"


@pytest.mark.parametrize("proof", ["session", "key"])
async def test_schedules_of_a_removed_user_go_on(start_host: StartHost, make_config: Any, proof: str) -> None:
    directory = Directory(root={"system_admin"})
    config = make_config()
    key, _ = ApiKeys.in_data_dir(config.data_dir).create(name="n", user_id="alice", roles=["task_manager"])
    schedule = missed_schedule("session" if proof == "session" else f"api_key:{key.key_id}")
    keep(config.base_dir, schedule)
    host = await start(start_host, directory)
    root = await host.signed_in(user_id="root")
    found = await schedule_with(root, schedule.schedule_id, "LastError")
    assert "'alice'" in found["LastError"]
    assert "no longer exists" in found["LastError"] or "not known" in found["LastError"]
    assert found["LastJobID"] is None


async def test_a_moment_is_lost_when_the_user_table_is_away_as_it_comes(
    start_host: StartHost, make_config: Any
) -> None:
    directory = Directory(alice={"task_manager"})
    directory.fault = ConnectionError("no such host")
    schedule = missed_schedule("session")
    keep(make_config().base_dir, schedule)
    host = await start(start_host, directory)
    async with asyncio.timeout(SECONDS):
        while not directory.asked:
            await asyncio.sleep(0.02)
    directory.fault = None
    found = await schedule_with(await host.signed_in(), schedule.schedule_id, "LastJobID")
    assert found["LastError"] is None


async def test_the_template_of_a_removed_user_goes_on(start_host: StartHost) -> None:
    directory = Directory(alice={"task_manager"}, bob={"clerk"})
    host = await start(start_host, directory)
    alice, bob = host.caller("task_manager"), await host.signed_in(user_id="bob")
    template = {"name": "t", "command": "echo ran", "executionMode": "BackgroundJob", "runRoles": ["clerk"]}
    made = (await alice.request("POST", "/templates", json=template)).body["template"]
    path = f"/templates/{made['TemplateID']}/run"
    assert (await bob.request("POST", path, json={})).status == 200
    del directory.roles["alice"]
    refused = await bob.request("POST", path, json={})
    assert (refused.status, "may no longer run such commands" in refused.body["error"]) == (403, True)


@pytest.mark.parametrize("proof", ["session", "key", "service key"])
async def test_a_removed_user_is_told_what_their_jobs_print(
    start_host: StartHost, proof: str, tmp_path: Path
) -> None:
    directory = Directory(alice={"task_manager"}, root={"system_admin"})
    receiver = Receiver()
    await receiver.start()
    try:
        host = await start(start_host, directory, webhook_allow_private=True, webhook_allowed_ports="any")
        root = await host.signed_in(user_id="root")
        if proof == "session":
            caller = await host.signed_in()
        else:
            caller = host.caller("task_manager", service=proof == "service key")
        gate = tmp_path / "gate"
        rule = {"channel": "webhook", "url": receiver.url, "on": "always"}
        waiting = f"echo secret; until [ -e {gate} ]; do sleep 0.05; done"
        job_id = await caller.submit(waiting, notify=[rule])
        async with asyncio.timeout(SECONDS):
            path = f"/jobs/{job_id}"
            while (await root.request("GET", path)).body["job"]["Status"] != "Running":
                await asyncio.sleep(0.05)
            del directory.roles["alice"]
            gate.touch()
            while True:
                notices = (await root.request("GET", "/notices?scope=all")).body["notices"]
                if notices and notices[0]["State"] != "pending":
                    break
                await asyncio.sleep(0.05)
    finally:
        await receiver.stop()
    if proof == "service key":
        assert (notices[0]["State"], len(receiver.requests)) == ("sent", 1)
    else:
        assert (notices[0]["State"], len(receiver.requests)) == ("failed", 0)
        assert notices[0]["LastError"] == "It was not sent, as its user no longer exists."


# --- the host's user table is away


@pytest.mark.parametrize("proof", ["session", "key"])
@pytest.mark.parametrize("fault", ["raises", "hangs", "lies"])
async def test_the_old_roles_go_on_while_the_user_table_is_away(
    start_host: StartHost, fault: str, proof: str
) -> None:
    directory = Directory(alice={"task_manager"})
    host = await start(start_host, directory, roles_timeout=0.3)
    alice = await host.signed_in() if proof == "session" else host.caller("task_manager")
    assert (await alice.request("GET", "/me")).status == 200
    if fault == "raises":
        directory.fault = ConnectionError("no such host")
    elif fault == "hangs":
        directory.go_on.clear()
    else:
        directory.roles["alice"] = "task_manager"  # type: ignore[assignment]
    for _ in range(2):
        answer = await alice.request("GET", "/me")
        assert (answer.status, answer.body["code"]) == (503, "roles_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    directory.fault, directory.roles["alice"] = None, {"task_manager"}
    directory.go_on.set()
    assert (await alice.request("GET", "/me")).status == 200


async def test_many_requests_at_once_ask_for_a_user_once(start_host: StartHost) -> None:
    directory = Directory(alice={"task_manager"})
    host = await start(start_host, directory)
    alice = await host.signed_in()
    directory.asked = 0
    directory.go_on.clear()
    requests = [asyncio.create_task(alice.request("GET", "/me")) for _ in range(20)]
    async with asyncio.timeout(SECONDS):
        while not directory.asked:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)  # for the others to come to where it waits
    directory.go_on.set()
    assert {answer.status for answer in await asyncio.gather(*requests)} == {200}
    assert directory.asked < 20


async def test_a_user_whom_the_table_is_slow_about_holds_up_no_other(start_host: StartHost) -> None:
    held = asyncio.Event()

    async def resolve(user_id: str) -> set[str]:
        if user_id == "mallory":
            await held.wait()
        return {"task_manager"}

    host = await start_host(roles_resolver=resolve, roles_timeout=SECONDS)
    mallory, alice = await host.signed_in(user_id="mallory"), await host.signed_in()
    waiting = asyncio.create_task(mallory.request("GET", "/me"))
    assert (await alice.request("GET", "/me")).status == 200
    assert not waiting.done()
    held.set()
    assert (await waiting).status == 200


async def test_a_slow_body_is_not_taken_for_a_strangers_while_the_user_table_is_away(
    start_host: StartHost,
) -> None:
    """On a busy machine any body is slow, and the table: who sent it is to try again, not to sign in."""
    directory = Directory(alice={"task_manager"})
    host = await start(start_host, directory)
    alice = await host.signed_in()
    body = json.dumps({"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}).encode()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:20]
        await asyncio.sleep(1.5)  # longer than a body may take that is not judged again
        directory.fault = ConnectionError("no such host")
        yield body[20:]

    headers = {"Content-Type": "application/json"}
    answer = await alice.request("POST", "/jobs/submit", data=slowly(), headers=headers)
    assert (answer.status, answer.body["code"]) == (503, "roles_unavailable")
    directory.fault = None
    assert (await alice.request("GET", "/jobs")).body["jobs"] == []


async def test_a_job_is_lost_when_the_user_table_is_away_as_its_turn_comes(
    start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(alice={"task_manager"})
    host = await start(start_host, directory)
    alice = await host.signed_in()
    directory.asked = 0
    with caplog.at_level(logging.WARNING, "aiohttp_jobs"):
        job_id = await alice.submit("echo ran", delaySeconds=3)  # so that the table is away before
        directory.fault = ConnectionError("no such host")
        before = directory.asked
        async with asyncio.timeout(SECONDS):
            while directory.asked < before + 2:
                await asyncio.sleep(0.02)
        directory.fault = None
        assert (await alice.result(job_id))["Output"] == "ran\n"
    assert [record.message for record in caplog.records if "roles_resolver" in record.message] == [
        "The roles_resolver cannot tell users' roles; they are refused until it can",
        "The roles_resolver tells users' roles again",
    ]


async def test_the_server_ends_while_the_user_table_hangs(start_host: StartHost) -> None:
    directory = Directory(alice={"task_manager"})
    host = await start(start_host, directory, roles_timeout=3600)
    alice = await host.signed_in()
    directory.go_on.clear()
    waiting = asyncio.create_task(alice.request("GET", "/me"))
    async with asyncio.timeout(SECONDS):
        while not directory.asked:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await host.stop()
