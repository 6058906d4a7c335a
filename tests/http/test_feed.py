"""The live list over HTTP: who is told what, in which order, and what happens to a watcher that is slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse

from aiohttp_jobs.engine.base import JobChange
from aiohttp_jobs.services.streams.job_list import JobFeed
from tests.conftest import Caller, Host
from tests.gate import Gate

from ..engines import BOTH

SECONDS = 120.0


@asynccontextmanager
async def watching(caller: Caller, query: str = "") -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """The feed's events, from the moment on when none can be missed."""
    async with caller.session.get(f"{caller.base}/jobs/feed{query}") as response:
        assert response.status == 200
        events = _events(response)
        assert (await anext(events))[0] == "hello"
        yield events


async def _events(response: ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.content:
        field, _, value = line.decode().rstrip("\r\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


async def until(events: AsyncIterator[tuple[str, Any]], job_id: str, status: str) -> list[str]:
    """The states in which a job is told of, up to `status`."""
    seen: list[str] = []
    async with asyncio.timeout(SECONDS):
        async for name, data in events:
            if name == "job" and data["JobID"] == job_id:
                seen.append(data["Status"])
                if data["Status"] == status:
                    return seen
    raise AssertionError(f"the feed ended; seen {seen}")


@BOTH
async def test_a_job_is_told_of_from_its_submission_to_its_end(host: Host, tmp_path: Path) -> None:
    alice, gate = host.caller("task_manager"), Gate(tmp_path / "gate")
    async with watching(alice) as events:
        job_id = await alice.submit(gate.shell)
        seen = await until(events, job_id, "Running")
        gate.open()
        seen += await until(events, job_id, "Succeeded")
        assert set(seen) <= {"Queued", "Running", "Succeeded"}


async def test_a_deleted_result_is_told_of(host: Host) -> None:
    alice = host.caller("task_manager")
    job_id = (await alice.run("true"))["JobID"]
    async with watching(alice) as events, asyncio.timeout(SECONDS):
        await alice.request("DELETE", f"/jobs/results?jobId={job_id}")
        assert await anext(events) == ("removed", {"JobID": job_id})


@BOTH
async def test_each_of_many_deleted_at_once_is_told_of(host: Host) -> None:
    alice = host.caller("task_manager")
    job_ids = [(await alice.run("true"))["JobID"] for _ in range(2)]
    async with watching(alice) as events, asyncio.timeout(SECONDS):
        await alice.request("POST", "/results/delete", json={"jobIds": job_ids})
        told = [await anext(events), await anext(events)]
    assert sorted(told, key=str) == sorted((("removed", {"JobID": job_id}) for job_id in job_ids), key=str)


async def test_nobody_is_told_of_others_jobs_but_administrators_who_ask(host: Host) -> None:
    alice, bob = host.caller("task_manager"), host.caller("task_manager", user_id="bob")
    root = host.caller("system_admin", user_id="root")
    async with watching(bob) as bobs, watching(root) as roots, watching(root, "?scope=all") as everyones:
        hers = await alice.submit("true")
        assert await until(everyones, hers, "Succeeded")
        his = await bob.submit("true")
        own = await root.submit("true")
        async with asyncio.timeout(SECONDS):
            assert (await anext(bobs))[1]["JobID"] == his
            assert (await anext(roots))[1]["JobID"] == own


async def test_what_is_told_has_neither_output_nor_command(host: Host) -> None:
    alice = host.caller("task_manager")
    async with watching(alice) as events, asyncio.timeout(SECONDS):
        await alice.submit("echo secret-word")
        async for _, data in events:
            assert "secret-word" not in json.dumps(data)
            if data["Status"] == "Succeeded":
                break


async def test_who_may_not_see_the_list_may_not_watch_it(host: Host) -> None:
    assert (await host.stranger().request("GET", "/jobs/feed")).status == 401
    assert (await host.caller("task_manager").request("GET", "/jobs/feed?scope=all")).status == 403
    assert (await host.caller("task_manager").request("GET", "/jobs/feed?scope=some")).status == 422


async def test_a_shutdown_lets_watchers_go(host: Host) -> None:
    alice = host.caller("task_manager")
    async with watching(alice) as events:
        stopping = asyncio.create_task(host.runner.cleanup())
        async with asyncio.timeout(SECONDS):
            assert [event async for event in events] == []
            await stopping


class _Queue:
    """Of a queue only what the feed asks for: telling it of changes."""

    tell: Callable[[JobChange], None]

    @asynccontextmanager
    async def watch(self, listener: Callable[[JobChange], None]) -> AsyncIterator[None]:
        self.tell = listener
        yield


async def test_a_slow_watcher_gets_only_the_last_news_of_each_job_or_has_to_load_the_list() -> None:
    queue = _Queue()
    changes = JobFeed(queue, most=3).watch(lambda user_id: True, heartbeat=0.05, lifetime=60)
    assert (await anext(changes)).name == "hello"
    for number in range(5):
        queue.tell(JobChange("alice", "one", record={"JobID": "one", "Told": number}))
    assert (await anext(changes)).data == {"JobID": "one", "Told": 4}
    for number in range(5):
        queue.tell(JobChange("alice", str(number)))
    assert (await anext(changes)).name == "resync"
    assert (await anext(changes)).name == "heartbeat"
    await changes.aclose()


async def test_a_watcher_has_to_come_again_after_its_time() -> None:
    feed = JobFeed(_Queue(), most=3)
    names = [change.name async for change in feed.watch(lambda user_id: True, 0.01, 0.05)]
    assert names[0] == "hello"
    assert set(names[1:]) <= {"heartbeat"}
