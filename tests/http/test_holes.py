"""Holes that others had, each with its test: checks that one way of looking had and another had not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ..conftest import Caller, Host
from ..gate import Gate

StartHost = Callable[..., Awaitable[Host]]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def looks(caller: Caller, job_id: str) -> dict[str, int]:
    """The status with which each way of looking at a job, or waiting for it, is answered."""
    tries: dict[str, dict[str, str]] = {
        f"/jobs/{job_id}": {},
        f"/jobs/{job_id}/events": {},
        f"/jobs/{job_id}/events?lastEventId=1-0": {"Last-Event-ID": "1-1"},
        f"/jobs/{job_id}/output": {},
        f"/jobs/{job_id}/output?offset=0&limit=4": {},
        f"/jobs/{job_id}/output?download=1": {"Range": "bytes=0-"},
        f"/jobs/{job_id}/output/digest?length=0": {},
        f"/jobs/{job_id}/attempts": {},
        f"/results/{job_id}": {},
    }
    return {
        path: (await caller.request("GET", path, headers=headers)).status for path, headers in tries.items()
    }


@pytest.mark.parametrize("roles", [(), ("task_manager",), ("debug",)])
async def test_a_stream_or_a_wait_is_checked_like_the_result(
    start_host: StartHost, gate: Gate, roles: tuple[str, ...]
) -> None:
    """OliveTin, CVE-2026-32102. Running here, running in another process, waiting, ended: all alike."""
    here, elsewhere = await start_host(), await start_host()
    alice = here.caller("debug")
    ended = (await alice.run("echo secret"))["JobID"]
    running = await alice.submit(f"echo secret; {gate.shell}")
    waiting = await alice.submit("echo secret", delaySeconds=3600)
    await gate.reached()
    for host in (here, elsewhere):
        bob, nobody = host.caller(*roles, user_id="bob"), host.stranger()
        for job_id in (ended, running, waiting):
            for path, status in (await looks(bob, job_id)).items():
                assert status == 403 or (status == 404 and path.startswith("/results/") and job_id != ended)
            assert set((await looks(nobody, job_id)).values()) == {401}
    gate.open()


@pytest.mark.parametrize("roles", [("task_manager",), ("debug",)])
async def test_a_role_does_not_stand_in_for_being_the_owner(
    host: Host, gate: Gate, roles: tuple[str, ...]
) -> None:
    """Rundeck, CVE-2021-41111: the roles for an action are one thing, whose job it is another."""
    alice, bob = host.caller("debug"), host.caller(*roles, user_id="bob")
    running = await alice.submit(gate.shell)
    await gate.reached()
    ended = (await alice.run("true"))["JobID"]
    assert (await bob.request("POST", f"/jobs/{running}/cancel")).status == 403
    assert (await bob.request("DELETE", f"/jobs/results?jobId={ended}")).status == 403
    job = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}
    body = {"name": "s", "cron": "@daily", "job": job}
    schedule = (await alice.request("POST", "/schedules", json=body)).body["schedule"]["ScheduleID"]
    for method, path in (("GET", ""), ("GET", "/next"), ("PATCH", ""), ("DELETE", "")):
        answer = await bob.request(method, f"/schedules/{schedule}{path}", json={"enabled": False})
        assert answer.status == 403, method
    gate.open()
    assert (await alice.result(running))["Status"] == "Succeeded"


async def test_being_the_owner_does_not_stand_in_for_a_role(host: Host) -> None:
    """Whoever lost the roles keeps the results, and starts nothing any more."""
    job_id = (await host.caller("debug").run("echo mine"))["JobID"]
    alice = host.caller()
    assert (await alice.result(job_id))["Output"] == "mine\n"
    body = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}
    assert (await alice.request("POST", "/jobs/submit", json=body)).status == 403
    assert (await alice.request("POST", "/schedules", json={"name": "s"})).status == 403


async def test_even_admins_delete_only_results_of_their_own(host: Host) -> None:
    job_id = (await host.caller("debug").run("true"))["JobID"]
    admin = host.caller("site_admin", "system_admin", user_id="root")
    assert (await admin.request("DELETE", f"/jobs/results?jobId={job_id}")).status == 403


async def test_a_job_run_again_has_the_rights_of_who_asks(host: Host) -> None:
    first = (await host.caller("debug").run("echo hi", "MainLoop"))["JobID"]
    admin = host.caller("system_admin", user_id="root")
    assert (await admin.request("POST", f"/jobs/{first}/rerun")).status == 403  # MainLoop is for debuggers
    assert (await host.caller("debug", user_id="bob").request("POST", f"/jobs/{first}/rerun")).status == 403
    assert (await host.caller().request("POST", f"/jobs/{first}/rerun")).status == 403
    both = host.caller("system_admin", "debug", user_id="root")
    answer = await both.request("POST", f"/jobs/{first}/rerun")
    assert (await both.result(answer.body["jobId"]))["UserID"] == "root"


@pytest.mark.parametrize("mode", ["BackgroundJob", "Runspace", "MainLoop"])
async def test_a_value_with_a_leading_dash_is_no_option(host: Host, mode: str) -> None:
    caller = host.caller("debug", user_id="-rf")
    names = {"jobName": "-rf", "description": "--help", "concurrencyKey": "-x"}
    for command in ("-c 'echo owned'", "--help", "-"):
        result = await caller.run(command, mode, **names)
        assert (result["Status"], result["ExitCode"]) == ("Failed", 127), result["Output"]
        assert "owned\n" not in result["Output"].splitlines()
    result = await caller.run("-1", mode, interpreter="python", **names)
    assert (result["Status"], result["Output"], result["JobName"]) == ("Succeeded", "-1\n", "-rf")
