"""``?wait=``: submitting, running a template and rerunning answer with the result, to who may read it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.http import submitting

from ..conftest import Caller, Host
from ..engines import BOTH
from ..gate import PATIENCE_SECONDS, Gate
from .test_templates import create

StartHost = Callable[..., Awaitable[Host]]
FUTURE = "2999-01-01T00:00:00Z"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def submit(caller: Caller, command: str, wait: Any = 30, **fields: Any) -> Any:
    body = {"jobName": "waited", "command": command, "executionMode": "BackgroundJob", **fields}
    return await caller.request("POST", f"/jobs/submit?wait={wait}", json=body)


@pytest.mark.parametrize("mode", ["BackgroundJob", "Runspace", "MainLoop"])
async def test_the_answer_has_the_result_as_it_can_be_read_later(host: Host, mode: str) -> None:
    alice = host.caller("debug")
    answer = await submit(alice, "print('hello')", executionMode=mode, interpreter="python")
    assert (answer.status, answer.body["result"]["Output"]) == (200, "hello\n")
    read = await alice.request("GET", f"/results/{answer.body['jobId']}")
    assert read.body["result"] == answer.body["result"]


async def test_without_it_nothing_is_waited_for_nor_said_of_a_result(host: Host, gate: Gate) -> None:
    alice = host.caller("debug")
    for query in ("", "?wait=0"):
        body = {"jobName": "x", "command": gate.shell, "executionMode": "BackgroundJob"}
        answer = await alice.request("POST", f"/jobs/submit{query}", json=body)
        assert set(answer.body) == {"success", "jobId", "message", "executionMode"}
    gate.open()


async def test_a_job_that_takes_longer_goes_on(host: Host, gate: Gate) -> None:
    alice = host.caller("debug")
    answer = await submit(alice, gate.shell, 1)
    assert (answer.status, answer.body["result"]) == (200, None)
    gate.open()
    assert (await alice.result(answer.body["jobId"]))["Success"] is True


async def test_nobody_waits_until_a_proxy_gives_up(
    host: Host, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert submitting.LONGEST_SECONDS < 60
    monkeypatch.setattr(submitting, "LONGEST_SECONDS", 1)
    alice = host.caller("debug")
    answer = await submit(alice, gate.shell, 60)
    assert (answer.status, answer.body["result"]) == (200, None)
    gate.open()


@BOTH
async def test_what_fails_is_cancelled_or_is_tried_again_is_waited_for_too(host: Host, gate: Gate) -> None:
    alice = host.caller("debug")
    assert (await submit(alice, "exit 3")).body["result"]["ExitCode"] == 3
    retried = await submit(alice, "exit 3", retry={"count": 2, "backoffSeconds": 0.01})
    assert [attempt["Attempt"] for attempt in retried.body["result"]["Attempts"]] == [1, 2, 3]
    waiting = asyncio.create_task(submit(alice, gate.shell))
    await gate.reached()
    (job,) = (await alice.request("GET", "/jobs?state=running")).body["jobs"]
    await alice.request("POST", f"/jobs/{job['JobID']}/cancel")
    assert (await waiting).body["result"]["Status"] == "Cancelled"


async def test_what_is_not_due_is_not_waited_for(host: Host) -> None:
    alice = host.caller("debug")
    for when in ({"runAt": FUTURE}, {"delaySeconds": 3600}):
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await submit(alice, "true", 60, **when)
        assert (answer.status, answer.body["result"]) == (200, None)


async def test_a_bad_wait_is_refused_and_nothing_submitted(host: Host) -> None:
    alice = host.caller("debug")
    for wait in ("-1", "61", "1.5", "soon", "", "1&wait=2"):
        answer = await submit(alice, "true", wait)
        assert (answer.status, answer.body["details"][0]["field"]) == (422, "wait"), wait
    assert (await alice.request("GET", "/jobs")).body["jobs"] == []


async def test_who_may_not_read_results_is_refused_and_nothing_submitted(start_host: StartHost) -> None:
    host = await start_host(endpoint_roles={"list_results": ["auditor"]})
    alice = host.caller("debug")
    answer = await submit(alice, "true")
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert not list(host.base_dir.glob("Job*/**/*.json"))
    assert (await submit(host.caller("debug", "auditor"), "true")).body["result"]["Success"] is True


async def test_a_key_that_is_disabled_meanwhile_is_told_no_result(start_host: StartHost, gate: Gate) -> None:
    host = await start_host(heartbeat_interval=0.05)
    alice = host.caller("debug")
    waiting = asyncio.create_task(submit(alice, f"{gate.shell}; echo secret"))
    await gate.reached()
    await asyncio.sleep(0.1)
    keys = ApiKeys.in_data_dir(host.config.data_dir)
    for key in keys.all():
        keys.set_enabled(key.key_id, False)
    gate.open()
    answer = await waiting
    assert (answer.status, answer.body["result"]) == (200, None)


async def test_templates_and_reruns_wait_too(host: Host) -> None:
    alice = host.caller("debug")
    template = await create(alice)
    path = f"/templates/{template['TemplateID']}/run?wait=30"
    ran = await alice.request("POST", path, json={"values": {"who": "world"}})
    assert ran.body["result"]["Output"] == "hello world\n"
    again = await alice.request("POST", f"/jobs/{ran.body['jobId']}/rerun?wait=30")
    assert again.body["result"]["Output"] == "hello world\n"
    assert again.body["jobId"] != ran.body["jobId"]


@BOTH
async def test_a_server_that_stops_answers_those_who_wait(start_host: StartHost, gate: Gate) -> None:
    host = await start_host(shutdown_grace=0.2)
    waiting = asyncio.create_task(submit(host.caller("debug"), gate.shell, 60))
    await gate.reached()
    await host.runner.cleanup()
    assert (await waiting).body["result"] is None
