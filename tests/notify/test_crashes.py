"""kill -9 at every step between a job's end and its notice: none is lost, none tells what is not so."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from tests.conftest import API, Caller, Host
from tests.gate import PATIENCE_SECONDS, until

from .crashing import POINTS, SETTINGS
from .support import Receiver

ROOT = Path(__file__).parents[2]
StartHost = Callable[..., Awaitable[Host]]


@contextmanager
def running(data_dir: Path, point: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A host that dies at `point`, and the address of its API."""
    command = [sys.executable, "-m", "tests.notify.crashing", str(data_dir), point]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, f"http://127.0.0.1:{process.stdout.readline().strip()}{API}"
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        process.stdout.close()


def told(receiver: Receiver) -> dict[str, list[dict[str, Any]]]:
    """What arrived, by the notice's id."""
    found: dict[str, list[dict[str, Any]]] = {}
    for request in receiver.requests:
        found.setdefault(request.headers["X-AiohttpJobs-Notice"], []).append(json.loads(request.body))
    return found


@pytest.fixture
def session_headers(tmp_path: Path) -> dict[str, str]:
    secret = ApiKeys.in_data_dir(tmp_path / "data").create(name="t", user_id="alice", roles=["debug"])[1]
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at(
    start_host: StartHost, receiver: Receiver, tmp_path: Path, session_headers: dict[str, str], point: str
) -> None:
    rules = [{"channel": "webhook", "url": receiver.url, "on": "always"}]
    async with ClientSession(headers=session_headers) as session:
        with running(tmp_path / "data", point) as (process, api):
            job_id = await Caller(api, session).submit("true", notify=rules)
            assert await asyncio.to_thread(process.wait, 60) == -9
    assert len(receiver.requests) == (point == "after_sending")

    host = await start_host(**SETTINGS)
    alice = host.caller("debug")
    result = await alice.result(job_id)
    had_ended = point not in {"before_preparing", "before_the_result"}
    assert result["Status"] == ("Succeeded" if had_ended else "Interrupted")
    await until(
        lambda: len(receiver.requests) == (2 if point == "after_sending" else 1), "the notice arriving"
    )
    ((notice_id, messages),) = told(receiver).items()
    assert {message["job"]["Status"] for message in messages} == {result["Status"]}
    assert {message["job"]["JobID"] for message in messages} == {job_id}
    for _ in range(3000):
        (notice,) = (await alice.request("GET", "/notices")).body["notices"]
        if notice["State"] == "sent":
            break
        await asyncio.sleep(0.02)
    assert (notice["NoticeID"], notice["State"]) == (notice_id, "sent")
    assert list((host.base_dir / "Notices" / "prepared").iterdir()) == []


async def test_what_was_prepared_for_an_outcome_that_was_not_kept_is_not_told(
    start_host: StartHost, receiver: Receiver, tmp_path: Path, session_headers: dict[str, str]
) -> None:
    failing = [{"channel": "webhook", "url": receiver.url, "on": "failure"}]
    retry = {"count": 1, "backoffSeconds": 0, "on": ["Interrupted"]}
    async with ClientSession(headers=session_headers) as session:
        with running(tmp_path / "data", "before_the_result") as (process, api):
            job_id = await Caller(api, session).submit("test -e again", notify=failing, retry=retry)
            assert await asyncio.to_thread(process.wait, 60) == -9
    prepared = tmp_path / "data/apps/WebHostTaskManagement/Notices/prepared"
    assert len(list(prepared.iterdir())) == 1

    host = await start_host(**SETTINGS)
    result = await host.caller("debug").result(job_id)
    assert (result["Status"], result["Attempt"]) == ("Failed", 2)
    await until(lambda: receiver.requests, "the notice of the second attempt")
    await until(lambda: not list(prepared.iterdir()), "dropping the one of the first")
    ((message,),) = told(receiver).values()
    assert message["job"]["Attempt"] == 2


async def test_hosts_killed_at_any_time_tell_of_every_job_and_nothing_but_the_truth(
    start_host: StartHost, receiver: Receiver, tmp_path: Path, session_headers: dict[str, str]
) -> None:
    rules = [{"channel": "webhook", "url": receiver.url, "on": "always"}]
    accepted: set[str] = set()
    async with ClientSession(headers=session_headers) as session:
        for _ in range(3):
            with running(tmp_path / "data", "never") as (process, api):
                caller = Caller(api, session)

                async def submit(caller: Caller = caller) -> None:
                    while True:
                        accepted.add(await caller.submit("true", notify=rules))

                before = len(accepted)
                tasks = [asyncio.create_task(submit()) for _ in range(3)]
                await until(lambda before=before: len(accepted) > before + 10, "jobs being accepted")
                await asyncio.sleep(random.uniform(0, 0.2))
                process.kill()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(each, ClientError) for each in ended), ended

    host = await start_host(**SETTINGS)
    alice = host.caller("debug")
    results = {job_id: await alice.result(job_id) for job_id in accepted}

    def jobs_told() -> set[str]:
        return {message["job"]["JobID"] for messages in told(receiver).values() for message in messages}

    await until(lambda: accepted <= jobs_told(), "a notice of every job")
    for messages in told(receiver).values():
        (job_id,) = {message["job"]["JobID"] for message in messages}
        if job_id in results:
            assert {message["job"]["Status"] for message in messages} == {results[job_id]["Status"]}
    assert len(told(receiver)) == len(jobs_told())
