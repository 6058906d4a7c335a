"""Two hosts on one data folder: whichever is asked, it knows what both run and have waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from .conftest import Caller, Host
from .gate import PATIENCE_SECONDS, Gate, until_answered
from .hosts.process import caller_of, new_key, running
from .http.test_feed import watching

StartHost = Callable[..., Awaitable[Host]]
Hosts = tuple[Host, Host]
OWN = {"Runtime", "Worker", "OutputSize", "DateStarted"}
"""What only the process that runs a job knows, or what changes from one moment to the next."""


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture
async def hosts(start_host: StartHost) -> Hosts:
    """Each runs one background job at a time."""
    return await start_host(max_parallel_background=1), await start_host(max_parallel_background=1)


async def listed(caller: Caller, query: str = "") -> list[dict[str, Any]]:
    answer = await caller.request("GET", f"/jobs?state=running,queued,pending{query}")
    assert answer.status == 200, answer.body
    return [{name: job[name] for name in job if name not in OWN} for job in answer.body["jobs"]]


async def queue(caller: Caller) -> dict[str, Any]:
    view: dict[str, Any] = (await caller.request("GET", "/queue")).body["queue"]
    return view


async def pause(caller: Caller) -> None:
    assert (await caller.request("POST", "/queue/pause")).status == 200


async def resume(caller: Caller) -> None:
    assert (await caller.request("POST", "/queue/resume")).status == 200


async def job(caller: Caller, job_id: str) -> dict[str, Any]:
    answer = await caller.request("GET", f"/jobs/{job_id}")
    assert answer.status == 200, answer.body
    view: dict[str, Any] = answer.body["job"]
    return view


async def test_what_either_runs_is_listed_shown_and_counted_by_both(hosts: Hosts, gate: Gate) -> None:
    one, other = (host.caller("debug") for host in hosts)
    job_ids = {await one.submit(gate.shell, description="said") for _ in range(2)}
    await gate.reached(2)

    for caller in (one, other):
        jobs = await listed(caller)
        assert {view["JobID"] for view in jobs} == job_ids
        assert {(view["Status"], view["ExecutionMode"], view["UserID"]) for view in jobs} == {
            ("Running", "BackgroundJob", "alice")
        }
        assert (await queue(caller))["running"] == 2
        for job_id in job_ids:
            view = await job(caller, job_id)
            assert (view["Status"], view["Description"]) == ("Running", "said")
            assert view["DateStarted"] >= view["SubmittedAt"]
            assert view["Runtime"] >= 0
    assert await listed(one) == await listed(other)
    gate.open()


async def test_what_waits_has_the_same_place_in_both(hosts: Hosts) -> None:
    one, other = (host.caller("system_admin") for host in hosts)
    await pause(one)
    job_ids = [await caller.submit("true") for caller in (one, other, one)]
    later = await other.submit("true", delaySeconds=3600)

    for caller in (one, other):
        assert [(view["JobID"], view["Status"], view["Position"]) for view in await listed(caller)] == [
            *((job_id, "Queued", place) for place, job_id in enumerate(job_ids, 1)),
            (later, "Pending", None),
        ]
        counts = await queue(caller)
        assert (counts["queued"], counts["pending"], counts["running"]) == (3, 1, 0)


async def test_a_pause_holds_in_both_at_once(hosts: Hosts) -> None:
    one, other = (host.caller("system_admin") for host in hosts)
    await pause(one)
    job_id = await other.submit("true")
    assert (await queue(other))["paused"] is True
    assert (await job(one, job_id))["Status"] == "Queued"

    await resume(other)
    assert (await queue(one))["paused"] is False
    assert (await one.result(job_id))["Success"] is True


@pytest.mark.parametrize("asked", [0, 1])
async def test_what_the_other_has_taken_no_longer_waits_and_is_cancelled_from_either(
    hosts: Hosts, gate: Gate, tmp_path: Path, asked: int
) -> None:
    callers = [host.caller("debug") for host in hosts]
    held, taken = Gate(tmp_path / "held"), Gate(tmp_path / "taken")
    await callers[0].submit(gate.shell)
    await gate.reached()
    stays = await callers[0].submit(held.shell)
    await held.reached()
    # Both are full, and both know of the third; then the one that ran the first takes it.
    third = await callers[0].submit(taken.shell)
    assert [(await job(caller, third))["Status"] for caller in callers] == ["Queued", "Queued"]
    gate.open()
    await taken.reached()

    for caller in callers:
        assert (await job(caller, third))["Status"] == "Running"
        counts = await queue(caller)
        assert (counts["queued"], counts["running"], counts["jobs"]) == (0, 2, [])
    assert (await callers[asked].request("POST", f"/jobs/{third}/cancel")).status == 202
    assert (await callers[0].result(third))["Status"] == "Cancelled"
    assert {view["JobID"] for view in await listed(callers[1])} == {stays}
    held.open()


async def test_nobody_sees_others_jobs_through_the_other_host(hosts: Hosts, gate: Gate) -> None:
    one, other = hosts
    hers = await one.caller("debug").submit(gate.shell)
    await gate.reached()
    bob, root = other.caller("debug", user_id="bob"), other.caller("system_admin", user_id="root")

    assert await listed(bob) == []
    assert (await bob.request("GET", "/jobs?state=running&scope=all")).status == 403
    assert (await bob.request("GET", f"/jobs/{hers}")).status == 403
    assert (await bob.request("POST", f"/jobs/{hers}/cancel")).status == 403
    assert await listed(root) == []
    assert [view["JobID"] for view in await listed(root, "&scope=all")] == [hers]
    gate.open()


async def test_what_a_dead_process_ran_is_not_listed_as_running(
    start_host: StartHost, tmp_path: Path, gate: Gate
) -> None:
    key = new_key(tmp_path / "data")
    async with AsyncExitStack() as stack:
        process = stack.enter_context(running(tmp_path / "data"))
        session = await stack.enter_async_context(ClientSession())
        job_id = await caller_of(process, key, session).submit(gate.shell)
        await gate.reached()
        caller = (await start_host()).bearer(key)
        assert [view["JobID"] for view in await listed(caller)] == [job_id]
        process.kill()
        assert await listed(caller) == []
        assert (await caller.result(job_id))["Status"] == "Interrupted"
    gate.open()


async def test_no_more_jobs_of_a_user_wait_than_may_in_both_together(start_host: StartHost) -> None:
    callers = [(await start_host(max_pending_per_user=3)).caller("system_admin") for _ in range(2)]
    await pause(callers[0])
    body = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}
    answers = await asyncio.gather(
        *(caller.request("POST", "/jobs/submit", json=body) for _ in range(10) for caller in callers)
    )
    assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 17
    refused = next(answer.body for answer in answers if answer.status == 429)
    assert (refused["limit"]["name"], refused["limit"]["value"]) == ("maxPendingPerUser", 3)

    assert (await queue(callers[1]))["queued"] == 3

    # When they have started there is room again, whoever ran them.
    await resume(callers[0])
    for answer in answers:
        if answer.status == 200:
            await callers[1].result(answer.body["jobId"])
    for caller in callers:
        await caller.submit("true")


async def test_nor_more_bytes_of_commands(start_host: StartHost) -> None:
    callers = [(await start_host(max_pending_bytes_per_user=20_000)).caller("system_admin") for _ in range(2)]
    await pause(callers[0])
    body = {"jobName": "j", "command": "#" * 8_000, "executionMode": "BackgroundJob"}
    answers = [
        await caller.request("POST", "/jobs/submit", json=body) for _ in range(2) for caller in callers
    ]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]


async def test_whoever_watches_either_is_told_of_the_jobs_of_both(hosts: Hosts, gate: Gate) -> None:
    callers = [host.caller("debug") for host in hosts]
    async with watching(callers[0]) as ones, watching(callers[1]) as others:
        held = {await callers[0].submit(gate.shell) for _ in range(2)}
        for events in (ones, others):
            await told(events, held, "Running")
        gate.open()
        for events in (ones, others):
            await told(events, held, "Succeeded")
        quick = {(await caller.run("true"))["JobID"] for caller in callers}
        for events in (ones, others):
            await told(events, quick, "Succeeded")
        for caller, job_id in zip(callers, quick, strict=True):
            assert (await caller.request("DELETE", f"/jobs/results?jobId={job_id}")).status == 200
        for events in (ones, others):
            await told(events, quick, "removed")


async def told(events: AsyncIterator[tuple[str, Any]], job_ids: set[str], what: str) -> None:
    """Return when each of the jobs was told of as being in that state, or removed."""
    left = set(job_ids)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while left:
            name, data = await anext(events)
            if what in (name, data.get("Status")):
                left.discard(data["JobID"])


async def test_the_list_of_a_host_alone_again_is_its_own(hosts: Hosts) -> None:
    one, other = hosts
    caller = one.caller("debug")
    await other.stop()

    async def is_empty() -> bool:
        return await listed(caller) == [] and (await queue(caller))["running"] == 0

    await until_answered(is_empty, "an empty list")
    assert (await caller.run("echo alone"))["Output"] == "alone\n"
