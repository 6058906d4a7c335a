"""``?wait=`` when several processes share one folder: whichever runs the job, the answer has its result."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from .conftest import Caller
from .gate import Gate
from .hosts.process import caller_of, new_key, running


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def hosts(stack: AsyncExitStack, data_dir: Path, count: int) -> list[Caller]:
    """As many processes on `data_dir`, each asked by alice; each runs three background jobs at once."""
    key = new_key(data_dir)
    callers = []
    for _ in range(count):
        host = stack.enter_context(running(data_dir))
        session = await stack.enter_async_context(ClientSession())
        callers.append(caller_of(host, key, session))
    return callers


async def submitted(caller: Caller, command: str, wait: int = 30, **fields: Any) -> dict[str, Any]:
    body = {"jobName": "waited", "command": command, "executionMode": "BackgroundJob", **fields}
    answer = await caller.request("POST", f"/jobs/submit?wait={wait}", json=body)
    assert answer.status == 200, answer.body
    result: dict[str, Any] | None = answer.body["result"]
    assert result is not None, f"answered without the result of job {answer.body['jobId']}"
    return result


async def test_each_of_many_submissions_to_four_processes_gets_its_result(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        callers = await hosts(stack, tmp_path, 4)
        commands = [f"sleep 0.4; echo {n} $AIOHTTP_JOBS_INSTANCE" for n in range(40)]
        # All to one process, which can run three of them at once: the others help it.
        results = await asyncio.gather(*(submitted(callers[0], command) for command in commands))
    said = [result["Output"].split() for result in results]
    assert [int(number) for number, _ in said] == list(range(40))
    assert len({instance for _, instance in said}) > 1


async def test_a_job_that_waits_here_and_runs_elsewhere_is_answered_at_its_end(
    tmp_path: Path, gate: Gate
) -> None:
    async with AsyncExitStack() as stack:
        one, other = await hosts(stack, tmp_path / "data", 2)
        # No slot is free here while the gate is closed.
        held = [await one.submit(gate.shell) for _ in range(3)]
        await gate.reached(3)
        result = await submitted(one, "echo elsewhere")
        assert (result["Output"], len(gate.pids)) == ("elsewhere\n", 3)
        retried = await submitted(one, "exit 3", retry={"count": 1, "backoffSeconds": 0.01})
        assert [attempt["Attempt"] for attempt in retried["Attempts"]] == [1, 2]
        gate.open()
        for job_id in held:
            await other.result(job_id)


async def test_it_is_not_waited_for_longer_than_asked(tmp_path: Path, gate: Gate) -> None:
    async with AsyncExitStack() as stack:
        one, other = await hosts(stack, tmp_path / "data", 2)
        for _ in range(6):
            await one.submit(gate.shell)
        await gate.reached(6)
        body = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}
        answer = await one.request("POST", "/jobs/submit?wait=1", json=body)
        assert (answer.status, answer.body["result"]) == (200, None)
        gate.open()
        assert (await other.result(answer.body["jobId"]))["Success"] is True
