"""Jobs seen, cancelled, delayed, tried again and kept apart, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..conftest import Caller, Host
from ..engines import BOTH
from ..gate import PATIENCE_SECONDS


async def job(caller: Caller, job_id: str) -> dict[str, Any]:
    answer = await caller.request("GET", f"/jobs/{job_id}")
    assert answer.status == 200, answer.body
    view: dict[str, Any] = answer.body["job"]
    return view


async def until(caller: Caller, job_id: str, *statuses: str) -> dict[str, Any]:
    """The job's view once it has one of `statuses`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        view = await job(caller, job_id)
        if view["Status"] in statuses:
            return view
        await asyncio.sleep(0.02)
    raise AssertionError(f"the job is still {view['Status']}")


async def until_printed(caller: Caller, job_id: str, text: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = await caller.request("GET", f"/jobs/{job_id}/output")
        if text in answer.body:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{text!r} was not printed")


async def cancel(caller: Caller, job_id: str) -> int:
    return (await caller.request("POST", f"/jobs/{job_id}/cancel")).status


@BOTH
async def test_a_job_is_listed_in_each_of_its_states(start_host: Callable[..., Awaitable[Host]]) -> None:
    caller = (await start_host(max_parallel_background=1)).caller("task_manager")
    done = (await caller.run("echo done"))["JobID"]
    running = await caller.submit("echo up; sleep 60")
    await until(caller, running, "Running")
    queued = await caller.submit("true")
    pending = await caller.submit("true", delaySeconds=3600)
    listed = (await caller.request("GET", "/jobs")).body["jobs"]
    assert {view["JobID"]: view["Status"] for view in listed} == {
        running: "Running",
        queued: "Queued",
        pending: "Pending",
        done: "Succeeded",
    }
    only = (await caller.request("GET", "/jobs?state=queued,pending")).body["jobs"]
    assert {view["JobID"] for view in only} == {queued, pending}
    view = await job(caller, running)
    assert view["ExecutionMode"] == "BackgroundJob"
    assert view["Runtime"] > 0
    assert psutil.pid_exists(view["Worker"])
    assert (await job(caller, queued))["Position"] == 1


async def test_others_jobs_are_hidden_from_all_but_admins(host: Host) -> None:
    alice, bob = host.caller("debug"), host.caller("debug", user_id="bob")
    admin = host.caller("site_admin", user_id="root")
    waiting = await alice.submit("true", delaySeconds=3600)
    ended = (await alice.run("echo secret"))["JobID"]
    for job_id in (waiting, ended):
        for path in ("", "/events", "/output", "/attempts"):
            answer = await bob.request("GET", f"/jobs/{job_id}{path}")
            assert (answer.status, answer.body["code"]) == (403, "forbidden"), path
        assert await cancel(bob, job_id) == 403
        assert (await job(admin, job_id))["UserID"] == "alice"
    assert (await bob.request("GET", "/jobs")).body["jobs"] == []
    assert (await bob.request("GET", "/jobs?scope=all")).status == 403
    everyone = (await admin.request("GET", "/jobs?scope=all")).body["jobs"]
    assert {view["JobID"] for view in everyone} == {waiting, ended}


async def test_a_running_job_is_cancelled_with_all_its_processes(host: Host) -> None:
    caller = host.caller("debug")
    commands = {
        "BackgroundJob": ("sleep 4321 & setsid sleep 4322 & echo up; wait", "shell"),
        "Runspace": (
            "import subprocess as s, time\ns.Popen(['sleep','4323']); print('up'); time.sleep(60)",
            "python",
        ),
        "MainLoop": ("print('up')\nimport asyncio\nawait asyncio.sleep(60)", "python"),
    }
    for mode, (command, interpreter) in commands.items():
        job_id = await caller.submit(command, mode, interpreter=interpreter)
        await until_printed(caller, job_id, "up")
        assert await cancel(caller, job_id) == 202
        result = await caller.result(job_id)
        assert (result["Status"], result["Success"], result["CancelledBy"]) == ("Cancelled", False, "alice")
        assert result["Output"] == "up\n[ERROR] The job was cancelled by alice.\n"
        assert await cancel(caller, job_id) == 409
    left = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"]]
    assert not [line for line in left if line[0] == "sleep" and line[1].startswith("432")]


async def test_a_waiting_job_that_is_cancelled_never_starts(host: Host, tmp_path: Path) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit(f"touch {tmp_path}/started", delaySeconds=3600)
    assert await cancel(caller, job_id) == 202
    assert await cancel(caller, job_id) in (202, 409)
    result = await caller.result(job_id)
    assert result["Status"] == "Cancelled"
    assert not (tmp_path / "started").exists()


@BOTH
async def test_an_admin_may_cancel_anyones_job_and_is_named(host: Host) -> None:
    caller, admin = host.caller("debug"), host.caller("system_admin", user_id="root")
    job_id = await caller.submit("sleep 60")
    assert await cancel(admin, job_id) == 202
    assert (await caller.result(job_id))["CancelledBy"] == "root"


async def test_a_job_starts_when_it_is_due_and_not_before(host: Host) -> None:
    caller = host.caller("debug")
    result = await caller.run("true", delaySeconds=0.5)
    assert result["Status"] == "Succeeded"
    assert result["DateStarted"] > result["SubmittedAt"]
    both = {"delaySeconds": 1, "runAt": "2031-01-01T00:00:00Z"}
    body = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob", **both}
    assert (await caller.request("POST", "/jobs/submit", json=body)).status == 422


@BOTH
async def test_jobs_with_one_concurrency_key_never_overlap(host: Host, tmp_path: Path) -> None:
    caller = host.caller("debug")
    lock = tmp_path / "lock"
    command = f"mkdir {lock} && sleep 0.05 && rmdir {lock}"
    jobs = [await caller.submit(command, concurrencyKey="db") for _ in range(5)]
    assert [(await caller.result(each))["Status"] for each in jobs] == ["Succeeded"] * 5


@BOTH
async def test_a_failed_job_is_tried_again_and_every_attempt_is_kept(host: Host, tmp_path: Path) -> None:
    caller = host.caller("debug")
    command = f"echo x >> {tmp_path}/tries; wc -l < {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) = 3 ]"
    result = await caller.run(command, retry={"count": 5, "backoffSeconds": 0.01})
    assert (result["Status"], result["Attempt"], result["Output"]) == ("Succeeded", 3, "3\n")
    assert [each["Status"] for each in result["Attempts"]] == ["Failed", "Failed", "Succeeded"]
    attempts = (await caller.request("GET", f"/jobs/{result['JobID']}/attempts")).body["attempts"]
    assert [each["Output"].split()[0] for each in attempts] == ["1", "2", "3"]
    await caller.request("DELETE", f"/jobs/results?jobId={result['JobID']}")
    if host.config.engine == "embedded":
        assert not [p for p in (host.base_dir / "JobOutput").iterdir() if result["JobID"] in p.name]


async def test_a_job_is_not_tried_again_unless_it_asked_for_it(host: Host, tmp_path: Path) -> None:
    caller = host.caller("debug")
    result = await caller.run(f"echo x >> {tmp_path}/tries; false")
    assert (result["Status"], result["Attempts"]) == ("Failed", [])
    assert (tmp_path / "tries").read_text() == "x\n"
    timed_out_only = {"count": 1, "backoffSeconds": 0, "on": ["TimedOut"]}
    assert (await caller.run("false", retry=timed_out_only))["Attempt"] == 1


async def test_the_wait_for_a_retry_can_be_cancelled(host: Host) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit("false", retry={"count": 3, "backoffSeconds": 3600})
    view = await until(caller, job_id, "Pending")
    assert view["Attempt"] == 2
    assert await cancel(caller, job_id) == 202
    result = await caller.result(job_id)
    assert (result["Status"], [a["Status"] for a in result["Attempts"]]) == (
        "Cancelled",
        ["Failed", "Cancelled"],
    )


async def test_priorities_above_ones_roles_are_refused(host: Host) -> None:
    body = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob", "priority": 9}
    answer = await host.caller("task_manager").request("POST", "/jobs/submit", json=body)
    assert (answer.status, answer.body["error"]) == (403, "Your roles allow priorities up to 7, not 9.")
    assert (await host.caller("debug").request("POST", "/jobs/submit", json=body)).status == 200
    for bad in (-1, 10, "5", 1.5, True):
        answer = await host.caller("debug").request("POST", "/jobs/submit", json={**body, "priority": bad})
        assert answer.status == 422, bad


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host()
    admin, user = host.caller("debug", "site_admin"), host.caller("task_manager", user_id="bob")
    assert (await user.request("POST", "/queue/pause")).status == 403
    assert (await admin.request("POST", "/queue/pause")).status == 200
    job_id = await user.submit("true")
    queue = (await user.request("GET", "/queue")).body["queue"]
    assert queue["paused"] is True
    assert [(each["JobID"], each["Position"]) for each in queue["jobs"]] == [(job_id, 1)]
    await host.stop()
    host = await start_host()
    admin, user = host.caller("debug", "site_admin"), host.caller("task_manager", user_id="bob")
    view = await until(user, job_id, "Queued", "Pending")
    assert view["DateStarted"] is None if "DateStarted" in view else True
    assert (await admin.request("POST", "/queue/resume")).status == 200
    assert (await user.result(job_id))["Status"] == "Succeeded"


@pytest.mark.usefixtures("warm_workers")
async def test_the_warm_workers_are_shown_with_what_they_run(host: Host) -> None:
    caller = host.caller("task_manager")
    job_id = await caller.submit(
        "import time; print('up', flush=True); time.sleep(60)", "Runspace", interpreter="python"
    )
    await until_printed(caller, job_id, "up")
    workers = (await caller.request("GET", "/runspaces")).body["runspaces"]
    busy = [worker for worker in workers if worker["Busy"]]
    assert [(worker["JobID"], worker["UserID"]) for worker in busy] == [(job_id, "alice")]
    assert busy[0]["MemoryBytes"] > 1_000_000
    other = host.caller("task_manager", user_id="bob")
    seen = (await other.request("GET", "/runspaces")).body["runspaces"]
    assert [worker["JobID"] for worker in seen] == [None] * len(workers)
    await cancel(caller, job_id)


async def test_bad_requests_for_jobs_get_a_clear_answer(host: Host) -> None:
    caller = host.caller("debug", "site_admin")
    unknown = "00000000-0000-4000-8000-000000000000"
    for method, path, status in (
        ("GET", "/jobs/not-a-uuid", 422),
        ("POST", "/jobs/not-a-uuid/cancel", 422),
        ("GET", f"/jobs/{unknown}", 404),
        ("GET", f"/jobs/{unknown}/events", 404),
        ("GET", f"/jobs/{unknown}/output", 404),
        ("GET", f"/jobs/{unknown}/attempts", 404),
        ("POST", f"/jobs/{unknown}/cancel", 404),
        ("DELETE", f"/jobs/{unknown}", 405),
        ("GET", "/jobs?state=lost", 422),
        ("GET", "/jobs?scope=mine", 422),
        ("GET", "/jobs?limit=0", 422),
        ("GET", f"/jobs/{unknown}/output?offset=-1", 422),
        ("GET", f"/jobs/{unknown}/output?limit=x", 422),
    ):
        answer = await caller.request(method, path)
        assert answer.status == status, (method, path, answer.body)
        assert answer.body["success"] is False
        assert answer.body["error"].endswith(".")


@BOTH
async def test_a_cancelled_job_does_not_wait_for_its_concurrency_key(host: Host) -> None:
    caller = host.caller("debug")
    holder = await caller.submit("echo up; sleep 60", concurrencyKey="db")
    await until_printed(caller, holder, "up")
    waiting = await caller.submit("true", concurrencyKey="db")
    after = await caller.submit("true", concurrencyKey="db")
    assert await cancel(caller, waiting) == 202
    assert (await caller.result(waiting))["Status"] == "Cancelled"
    assert (await job(caller, after))["Status"] == "Queued"
    assert await cancel(caller, holder) == 202
    assert (await caller.result(after))["Status"] == "Succeeded"


@BOTH
async def test_a_job_is_listed_while_it_is_picked_up(start_host: Callable[..., Awaitable[Host]]) -> None:
    asked, may_go_on = asyncio.Event(), asyncio.Event()

    async def resolve(user_id: str) -> set[str]:
        if user_id == "bob":
            asked.set()
            await may_go_on.wait()
        return {"debug", "site_admin"}

    host = await start_host(roles_resolver=resolve, roles_cache_seconds=0, roles_timeout=60)
    may_go_on.set()
    bob = host.caller("debug", user_id="bob")
    root = host.caller("site_admin", user_id="root")
    await root.request("POST", "/queue/pause")
    job_id = await bob.submit("true")
    may_go_on.clear()
    asked.clear()
    await root.request("POST", "/queue/resume")
    await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
    for path in ("/jobs?scope=all", "/jobs?scope=all&state=queued"):
        [listed] = (await root.request("GET", path)).body["jobs"]
        assert (listed["JobID"], listed["Status"]) == (job_id, "Queued")
    may_go_on.set()
    assert (await bob.result(job_id))["Success"] is True
