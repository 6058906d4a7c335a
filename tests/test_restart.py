"""A host that dies at any moment loses nothing and runs nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession

from .hosts.process import caller_of, new_key, printed, running, written


@pytest.fixture
def key(tmp_path: Path) -> str:
    return new_key(tmp_path)


@pytest.mark.parametrize("moment", [0.0, 0.15, 0.4])
async def test_after_a_kill_every_job_has_one_result_and_ran_at_most_once(
    tmp_path: Path, key: str, moment: float
) -> None:
    nap = f"95{os.getpid()}{int(moment * 100)}"
    ran = tmp_path / "ran"
    async with ClientSession() as session:
        with running(tmp_path) as host:
            caller = caller_of(host, key, session)
            command = f"echo up; echo $AIOHTTP_JOBS_JOB_ID >> {ran}; sleep {nap}"
            long = [await caller.submit(command), await caller.submit(command, "Runspace")]
            for job_id in long:
                await printed(caller, job_id, "up\n")
            short = [
                await caller.submit(f"echo $AIOHTTP_JOBS_JOB_ID >> {ran}; sleep 0.05") for _ in range(25)
            ]
            # What was printed in the last tenth of a second lies in memory only, as documented.
            await written(tmp_path, "up\n", len(long))
            await asyncio.sleep(moment)
            assert host.end(signal.SIGKILL) == -9
        with running(tmp_path) as host:
            caller = caller_of(host, key, session)
            results = {job_id: await caller.result(job_id) for job_id in (*long, *short)}
            assert len(await caller.results()) == len(results)
    for job_id in long:
        assert results[job_id]["Status"] == "Interrupted"
        assert results[job_id]["Output"].startswith("up\n[ERROR] The server stopped while")
    assert {results[job_id]["Status"] for job_id in short} <= {"Succeeded", "Interrupted"}
    times = Counter(ran.read_text().split())
    assert set(times.values()) == {1}
    assert {job_id for job_id in short if results[job_id]["Success"]} <= set(times)
    left = [p for p in psutil.process_iter(["cmdline"]) if nap in " ".join(p.info["cmdline"] or [])]
    assert left == []


async def test_a_shutdown_gives_running_jobs_a_grace_time_and_keeps_the_waiting(
    tmp_path: Path, key: str
) -> None:
    async with ClientSession() as session:
        with running(tmp_path) as host:
            caller = caller_of(host, key, session)
            brief = await caller.submit("echo up; sleep 0.7; echo done")
            endless = await caller.submit("echo up; sleep 600")
            for job_id in (brief, endless):
                await printed(caller, job_id, "up\n")
            waiting = await caller.submit("echo later", delaySeconds=3)
            assert host.end(signal.SIGTERM) == 0
        with running(tmp_path) as host:
            caller = caller_of(host, key, session)
            assert (await caller.result(brief))["Output"] == "up\ndone\n"
            ended = await caller.result(endless)
            assert ended["Status"] == "Interrupted"
            assert ended["Output"] == "up\n[ERROR] The job was stopped because the server shut down.\n"
            assert (await caller.result(waiting))["Output"] == "later\n"


async def test_a_living_host_takes_over_from_one_that_died(tmp_path: Path, key: str) -> None:
    async with ClientSession() as session:
        with running(tmp_path) as dying, running(tmp_path) as living:
            caller = caller_of(dying, key, session)
            job_id = await caller.submit("echo up; sleep 600")
            await printed(caller, job_id, "up\n")
            elsewhere = caller_of(living, key, session)
            view = (await elsewhere.request("GET", f"/jobs/{job_id}")).body["job"]
            assert view["Status"] == "Running"
            dying.end(signal.SIGKILL)
            assert (await elsewhere.result(job_id))["Status"] == "Interrupted"


async def test_a_job_is_read_and_cancelled_through_another_host(tmp_path: Path, key: str) -> None:
    async with ClientSession() as session:
        with running(tmp_path) as one, running(tmp_path) as other:
            caller = caller_of(one, key, session)
            job_id = await caller.submit("echo up; sleep 600")
            await printed(caller, job_id, "up\n")
            elsewhere = caller_of(other, key, session)
            end = await elsewhere.request("GET", f"/jobs/{job_id}/output", headers={"Range": "bytes=-2"})
            assert (end.status, end.body, end.headers["Content-Range"]) == (206, "p\n", "bytes 1-2/*")
            answer = await elsewhere.request("POST", f"/jobs/{job_id}/cancel")
            assert answer.status == 202
            assert (await elsewhere.result(job_id))["Status"] == "Cancelled"


async def test_retries_go_on_where_a_killed_host_left_them(tmp_path: Path, key: str) -> None:
    tries = tmp_path / "tries"
    async with ClientSession() as session:
        with running(tmp_path) as host:
            caller = caller_of(host, key, session)
            command = f"echo x >> {tries}; [ $(wc -l < {tries}) = 3 ]"
            job_id = await caller.submit(command, retry={"count": 5, "backoffSeconds": 0.4})
            while not tries.exists():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            host.end(signal.SIGKILL)
        with running(tmp_path) as host:
            result = await caller_of(host, key, session).result(job_id)
    assert (result["Status"], result["Attempt"]) in (("Succeeded", 3), ("Interrupted", 1))
    assert len(tries.read_text().split()) == result["Attempt"]


async def test_a_job_cut_off_by_a_shutdown_is_tried_again_if_it_asked_for_that(
    tmp_path: Path, key: str
) -> None:
    first = tmp_path / "first"
    async with ClientSession() as session:
        with running(tmp_path) as host:
            caller = caller_of(host, key, session)
            command = f"echo up; [ -e {first} ] || {{ touch {first}; sleep 600; }}"
            retry = {"count": 1, "backoffSeconds": 0, "on": ["Interrupted"]}
            job_id = await caller.submit(command, retry=retry)
            await printed(caller, job_id, "up\n")
            assert host.end(signal.SIGTERM) == 0
        with running(tmp_path) as host:
            result = await caller_of(host, key, session).result(job_id)
    assert (result["Status"], result["Attempt"]) == ("Succeeded", 2)
    assert [attempt["Status"] for attempt in result["Attempts"]] == ["Interrupted", "Succeeded"]
