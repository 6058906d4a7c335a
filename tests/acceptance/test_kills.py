"""kill -9 of real hosts at seeded moments: nothing that was accepted is lost, nothing is run twice."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError as TransportError

from aiohttp_jobs.client import JobsClient
from aiohttp_jobs.model.job import RetryPolicy

from ..conftest import API
from ..gate import PATIENCE_SECONDS, until
from ..hosts.process import Process, new_key, running
from ..ports import free_port

PREFIX = API.removesuffix("/api/v1")
COUNTING = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo line $i; sleep 0.01; done"
CUT_OFF = "[ERROR] The server stopped while the job was running. It was not started again.\n"


@pytest.fixture
def key(tmp_path: Path) -> str:
    return new_key(tmp_path)


@pytest.fixture
async def client(tmp_path: Path, key: str) -> AsyncIterator[JobsClient]:
    """A client of whatever host listens on the one port that the test's hosts share."""
    port = free_port()
    (tmp_path / "port").write_text(str(port))
    async with JobsClient(f"http://127.0.0.1:{port}{PREFIX}", key) as client:
        yield client


def start(data_dir: Path) -> Process:
    return Process(data_dir, int((data_dir / "port").read_text()))


class Watcher:
    """Follows one job, over as many hosts as it takes."""

    def __init__(self, client: JobsClient, job_id: str) -> None:
        self.job_id = job_id
        self.seen = ""
        self.task = asyncio.create_task(self._follow(client))

    async def _follow(self, client: JobsClient) -> None:
        async for event in client.follow(self.job_id):
            self.seen += event.text


async def results_of(client: JobsClient, job_ids: list[str]) -> dict[str, dict[str, Any]]:
    """The results of these jobs, once all have one."""
    found: dict[str, dict[str, Any]] = {}

    async def all_there() -> bool:
        found.update({record["JobID"]: record for record in await client.results(1000)})
        return set(job_ids) <= set(found)

    for _ in range(1200):
        if await all_there():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"no results of {set(job_ids) - set(found)}")


@pytest.mark.parametrize("seed", [1, 2])
async def test_streams_go_on_over_a_restart_without_a_gap_or_a_repeat(
    tmp_path: Path, client: JobsClient, seed: int
) -> None:
    chance = random.Random(seed)
    host = start(tmp_path)
    try:
        modes = ("BackgroundJob", "Runspace")
        job_ids = [await client.submit(COUNTING, name=mode, mode=mode) for mode in modes]
        watchers = [Watcher(client, job_id) for job_id in (*job_ids, *job_ids)]
        for watcher in watchers:
            await until(lambda seen=watcher: "line 30\n" in seen.seen, "printing")
        await asyncio.sleep(chance.uniform(0, 0.3))
        host.kill()
        seen_before = {watcher: watcher.seen for watcher in watchers}
        host = start(tmp_path)
        await asyncio.wait_for(asyncio.gather(*(watcher.task for watcher in watchers)), PATIENCE_SECONDS)
        for watcher in watchers:
            result = await client.result(watcher.job_id)
            assert result.status == "Interrupted"
            assert watcher.seen == result.output
            assert result.output.startswith(seen_before[watcher])
            printed = result.output.removesuffix(CUT_OFF).splitlines()
            whole = printed if result.output.endswith(f"\n{CUT_OFF}") else printed[:-1]
            assert whole == [f"line {number}" for number in range(1, len(whole) + 1)]
    finally:
        host.kill()


async def test_of_many_submissions_in_flight_every_accepted_one_has_one_result_and_none_ran_twice(
    tmp_path: Path, client: JobsClient
) -> None:
    chance = random.Random(3)
    ran = tmp_path / "ran"
    accepted: list[str] = []
    command = f"echo $AIOHTTP_JOBS_JOB_ID >> {ran}"

    async def keep_submitting() -> None:
        while True:
            try:
                accepted.append(await client.submit(command, name="many"))
            except TransportError:
                await asyncio.sleep(0.05)

    host = start(tmp_path)
    submitters = [asyncio.create_task(keep_submitting()) for _ in range(6)]
    try:
        for _ in range(3):
            before = len(accepted)
            await until(lambda before=before: len(accepted) > before + 10, "accepting jobs")
            await asyncio.sleep(chance.uniform(0, 0.3))
            host.kill()
            host = start(tmp_path)
        for submitter in submitters:
            submitter.cancel()
        await asyncio.wait(submitters)
        results = await results_of(client, accepted)
        # Submissions that were given up when they were on their way may have been accepted too.
        while await client.jobs("running", "queued", "pending"):
            await asyncio.sleep(0.05)
    finally:
        host.kill()
    files = Counter(path.stem for path in tmp_path.glob("apps/*/JobResults/*.json"))
    assert set(accepted) <= set(files)
    times = Counter(ran.read_text().split())
    assert set(times.values()) == {1}
    assert set(times) <= set(files), "what ran was accepted and has a result"
    assert {job_id for job_id in accepted if results[job_id]["Success"]} <= set(times)
    assert {results[job_id]["Status"] for job_id in accepted} <= {"Succeeded", "Interrupted"}


async def test_retries_are_neither_lost_nor_repeated(tmp_path: Path, client: JobsClient) -> None:
    chance = random.Random(4)
    ran = tmp_path / "ran"
    host = start(tmp_path)
    try:
        policy = RetryPolicy(count=3, backoff_seconds=0.3, backoff_factor=1.5, on=("Failed", "Interrupted"))
        command = f"echo $AIOHTTP_JOBS_JOB_ID >> {ran}; sleep 0.1; exit 3"
        job_ids = [await client.submit(command, name=f"flaky {n}", retry=policy) for n in range(6)]
        for _ in range(2):
            await asyncio.sleep(chance.uniform(0.1, 0.7))
            host.kill()
            host = start(tmp_path)
        await results_of(client, job_ids)
        attempts = {job_id: await client.attempts(job_id) for job_id in job_ids}
    finally:
        host.kill()
    times = Counter(ran.read_text().split())
    for job_id, tries in attempts.items():
        assert [attempt["Attempt"] for attempt in tries] == [1, 2, 3, 4]
        failed = sum(attempt["Status"] == "Failed" for attempt in tries)
        assert {attempt["Status"] for attempt in tries} <= {"Failed", "Interrupted"}
        # One that was cut off may have got to the line that counts, or not yet.
        assert failed <= times[job_id] <= len(tries)


async def test_schedules_on_two_hosts_fire_each_moment_once_whoever_dies(tmp_path: Path, key: str) -> None:
    chance = random.Random(5)
    ran, epoch = tmp_path / "ran", time.time()
    command = f"echo $AIOHTTP_JOBS_JOB_ID >> {ran}; sleep 0.3"
    with ExitStack() as stack:
        hosts = [stack.enter_context(running(tmp_path, 0, epoch)) for _ in range(2)]
        schedules: dict[str, str] = {}
        async with JobsClient(hosts[0].url, key) as client:
            for policy in ("skip", "queue", "replace"):
                job = {"jobName": policy, "command": command, "executionMode": "BackgroundJob"}
                made = await client.schedules.create(
                    policy, "* * * * *", job, overlap_policy=policy, misfire_policy="run_once"
                )
                schedules[policy] = made["ScheduleID"]
        for turn in range(2):
            before = len(moments(tmp_path))
            await until(lambda before=before: len(moments(tmp_path)) > before + 2, "firing")
            await asyncio.sleep(chance.uniform(0, 1))
            hosts[turn % 2].kill()
            hosts[turn % 2] = stack.enter_context(running(tmp_path, 0, epoch))
        for host in hosts:
            host.kill()
        # Nobody is there for a while; then each schedule makes up for the last moment it missed.
        missed = len(moments(tmp_path))
        await asyncio.sleep(1.5)
        last = stack.enter_context(running(tmp_path, 0, epoch))
        await until(
            lambda: len(moments(tmp_path)) >= missed + len(schedules), "making up for what was missed"
        )
        async with JobsClient(last.url, key) as client:
            for schedule_id in schedules.values():
                await client.schedules.update(schedule_id, {"enabled": False})
            claimed = moments(tmp_path)
            job_ids = [job_id for job_id in claimed.values() if job_id]
            # A moment that was claimed when its schedule was disabled does not fire any more.
            last_ones = {max(each for each in claimed if each[0] == key) for key in schedules.values()}
            fired = [job_id for each, job_id in claimed.items() if job_id and each not in last_ones]
            await results_of(client, fired)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await client.jobs("running", "queued", "pending"):
                    await asyncio.sleep(0.05)
            results = await results_of(client, fired)
    strays = {job_id: record for job_id, record in results.items() if job_id not in job_ids}
    assert not strays, "every job belongs to a moment"
    assert len(job_ids) == len(set(job_ids))
    for job_id, record in results.items():
        assert record["ScheduleID"] == schedules[record["JobName"]], job_id
    times = Counter(ran.read_text().split())
    assert set(times.values()) == {1}
    assert {job_id for job_id, record in results.items() if record["Success"]} <= set(times)


def moments(data_dir: Path) -> dict[tuple[str, str], str | None]:
    """The moments of each schedule that were claimed, and the job of each, if it was not skipped."""
    claims = {}
    for path in data_dir.glob("apps/*/Schedules/fired/*/*"):
        claim = json.loads(path.read_text())
        claims[claim["ScheduleID"], claim["Moment"]] = claim["JobID"]
    return claims
