"""PostgreSQL is away, or its answers are lost: hosts say so, go on afterwards, and do nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aiohttp_jobs import Identity
from aiohttp_jobs.client import JobEvent, JobsClient

from ...conftest import Caller, Host
from ...engines import HostEngine
from ...gate import PATIENCE_SECONDS, Gate, until, until_answered
from ...postgres import PostgresServer
from ...tcp_proxy import TcpProxy
from .support import SECRET, installation

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase
from aiohttp_jobs.engine.postgres.database import Database, DatabaseAwayError

RECOVERY = {"channel": "webhook", "url": "https://hooks.example/job", "on": "recovery"}


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """One that may be stopped."""
    server = postgres_server.another()
    yield server
    server.close()


@pytest.fixture
async def proxy(server: PostgresServer) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(server.socket) as proxy:
        yield proxy


@pytest.fixture
def engine(server: PostgresServer, proxy: TcpProxy) -> Iterator[HostEngine]:
    dsn = server.dsn(server.create_upgraded())
    beside = installation(dsn)
    beside.open()
    through = dsn.partition("?")[0] + f"?host=127.0.0.1&port={proxy.port}"
    yield HostEngine({"engine": "postgres", "dsn": through, "secret": SECRET}, beside.api_keys)
    beside.close()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def losing(proxy: TcpProxy, *words: bytes) -> Callable[[], bool]:
    """Lose the answer to the first request that has one of `words`; whether that has happened."""
    lost: list[bytes] = []

    def is_lost(data: bytes) -> bool:
        found = not lost and any(word in data for word in words)
        if found:
            lost.append(data)
        return found

    proxy.after_request = is_lost
    return lambda: bool(lost)


async def test_while_it_is_away_hosts_say_so_and_afterwards_all_goes_on(
    host: Host, server: PostgresServer, gate: Gate, tmp_path: Path
) -> None:
    caller = host.caller("debug")
    await caller.run("exit 1")
    job_id = await caller.submit(f"echo one; {gate.shell}; echo two", notify=[RECOVERY])
    seen: list[JobEvent] = []

    async def watch() -> None:
        async with JobsClient(caller.base.removesuffix("/api/v1"), session=caller.session) as client:
            seen.extend([event async for event in client.follow(job_id)])

    watching = asyncio.create_task(watch())
    await gate.reached()
    await asyncio.to_thread(server.stop)
    try:
        # However many ask, nobody waits behind the others.
        body = {"jobName": "x", "command": "true", "executionMode": "BackgroundJob"}
        requests = [("GET", "/jobs", None), ("GET", f"/jobs/{job_id}", None), ("POST", "/jobs/submit", body)]
        answers = await asyncio.gather(
            *(caller.request(method, path, json=json) for method, path, json in 10 * requests)
        )
        assert {answer.status for answer in answers} == {503}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        assert {answer.body["success"] for answer in answers} == {False}
        gate.open()
        await until(lambda: any(tmp_path.rglob("verdict.json")), "the verdict being kept")
    finally:
        await asyncio.to_thread(server.start)
    await watching
    assert (seen[-1].name, seen[-1].data["Status"]) == ("end", "Succeeded")
    assert "".join(event.text for event in seen) == "one\ntwo\n"
    assert len(gate.pids) == 1
    # How the job before it ended could not be read while it was away.
    (notice,) = (await caller.request("GET", "/notices")).body["notices"]
    assert (notice["JobID"], notice["Event"]) == (job_id, "recovery")


async def test_while_nothing_gets_through_whoever_asks_for_results_is_told_so(
    start_host: Callable[..., Awaitable[Host]], proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the network has swallowed all packets: the connections are there, and nothing ever comes."""
    monkeypatch.setattr("aiohttp_jobs.engine.postgres.async_database.LATE_SECONDS", 0.5)
    monkeypatch.setattr(
        "aiohttp_jobs.engine.postgres.engine.AsyncDatabase", partial(AsyncDatabase, seconds=5.0)
    )
    caller = (await start_host()).caller("debug")
    job_id = (await caller.run("echo there"))["JobID"]
    monkeypatch.setattr("aiohttp_jobs.engine.postgres.database.ANSWER_SECONDS", 1.0)
    proxy.cut()
    try:
        paths = ["/results", "/results?q=there", "/results/stats", f"/jobs/{job_id}", f"/results/{job_id}"]
        answers = await asyncio.gather(*(caller.request("GET", path) for path in paths))
        assert {path: answer.status for path, answer in zip(paths, answers, strict=True)} == dict.fromkeys(
            paths, 503
        )
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    finally:
        proxy.mend()

    async def is_back() -> bool:
        answer = await caller.request("GET", "/results?q=there")
        found = answer.body["results"] if answer.status == 200 else []
        return [record["JobID"] for record in found] == [job_id]

    await until_answered(is_back, "the results, once packets come through again")


async def test_while_the_server_hangs_records_are_answered_for_in_time_and_hold_up_nobody(
    start_host: Callable[..., Awaitable[Host]],
    server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of somebody whom the host itself knows: API keys and sessions would be asked for first."""

    async def resolve(request: web.Request) -> Identity | None:
        return (
            Identity(user_id="alice", roles=frozenset({"system_admin"}))
            if "X-Alice" in request.headers
            else None
        )

    host = await start_host(identity_resolver=resolve)
    alice = host.stranger()
    alice.session.headers["X-Alice"] = "1"

    job = {"jobName": "x", "command": "true", "executionMode": "BackgroundJob"}
    schedule = {"name": "s", "cron": "0 0 1 1 *", "timezone": "UTC", "job": job}
    template = {"name": "t", "command": "true", "executionMode": "BackgroundJob", "parameters": []}
    answer = await alice.request("POST", "/schedules", json=schedule)
    schedule_id = answer.body["schedule"]["ScheduleID"]
    answer = await alice.request("POST", "/templates", json=template)
    template_id = answer.body["template"]["TemplateID"]
    another = await start_host(data_dir=tmp_path / "another")
    signed_in = await another.signed_in("debug", user_id="bob")
    monkeypatch.setattr("aiohttp_jobs.engine.postgres.database.ANSWER_SECONDS", 1.0)
    requests: list[tuple[Caller, str, str, dict[str, Any] | None]] = [
        *((alice, "GET", path, None) for path in ("/sessions", "/notices", "/schedules", "/templates")),
        *((alice, "GET", f"/{path}", None) for path in (f"schedules/{schedule_id}", "api-keys")),
        (alice, "POST", "/schedules", schedule),
        (alice, "PATCH", f"/schedules/{schedule_id}", {"enabled": False}),
        (alice, "DELETE", f"/schedules/{schedule_id}", None),
        (alice, "POST", "/templates", template),
        (alice, "POST", f"/templates/{template_id}/run", {"values": {}}),
        (alice, "POST", "/sessions/revoke", {}),
        (alice, "POST", f"/notices/{schedule_id}/retry", {}),
        (alice, "DELETE", f"/notices/{schedule_id}", None),
        (alice, "POST", "/jobs/submit", {**job, "notify": [RECOVERY]}),
        (signed_in, "GET", "/me", None),
        (host.stranger(), "POST", f"{host.address}/login", {"user_id": "carol", "roles": []}),
    ]
    with server.halted():
        async with asyncio.timeout(PATIENCE_SECONDS):
            answers = await asyncio.gather(
                *(caller.request(method, path, json=body) for caller, method, path, body in requests)
            )
            await asyncio.to_thread(bool)  # the loop's threads are there for others
        shown = {
            (method, path): answer.status
            for (_, method, path, _), answer in zip(requests, answers, strict=True)
        }
        assert shown == dict.fromkeys(shown, 503)
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)

    monkeypatch.undo()

    async def is_back() -> bool:
        answers = [await alice.request("GET", "/templates"), await signed_in.request("GET", "/me")]
        return all(answer.status == 200 for answer in answers)

    await until_answered(is_back, "templates and sessions, once the server goes on")


async def test_the_answer_to_a_submission_is_lost_and_it_is_accepted_once(
    host: Host, proxy: TcpProxy
) -> None:
    caller = host.caller("debug")
    has_happened = losing(proxy, b"submit_and_tell")
    job_id = await caller.submit("echo once")
    assert has_happened()
    assert (await caller.result(job_id))["Output"] == "once\n"
    assert [record["JobID"] for record in await caller.results()] == [job_id]


async def test_the_answer_to_a_verdicts_commit_is_lost_and_it_is_given_once(
    host: Host, proxy: TcpProxy, gate: Gate
) -> None:
    caller = host.caller("debug")
    job_id = await caller.submit(gate.shell)
    await gate.reached()
    has_happened = losing(proxy, b"verdict_and_tell")
    gate.open()
    record = await caller.result(job_id)
    assert has_happened()
    assert (record["Status"], record["Attempt"], len(gate.pids)) == ("Succeeded", 1, 1)
    assert (await caller.run("echo next"))["Output"] == "next\n"


async def test_the_answer_to_a_claim_is_lost_and_what_it_got_is_run_once(
    host: Host, proxy: TcpProxy, gate: Gate
) -> None:
    caller = host.caller("system_admin")
    assert (await caller.request("POST", "/queue/pause")).status == 200
    job_id = await caller.submit(gate.shell)
    gate.open()
    has_happened = losing(proxy, b"claim_4")
    await caller.request("POST", "/queue/resume")
    assert (await caller.result(job_id))["Status"] == "Succeeded"
    assert has_happened()
    assert len(gate.pids) == 1


async def test_the_answer_to_a_cancellation_is_lost_and_the_job_ends_all_the_same(
    start_host: Callable[..., Awaitable[Host]], proxy: TcpProxy, gate: Gate
) -> None:
    host = await start_host(stall_seconds=3.0)  # so often it looks at its jobs
    caller = host.caller("debug")
    job_id = await caller.submit(gate.shell, delaySeconds=3600)
    has_happened = losing(proxy, b"fence + 1, lock_name = NULL")
    answer = await caller.request("POST", f"/jobs/{job_id}/cancel")
    assert has_happened()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")

    async def has_ended() -> bool:
        return (await caller.request("GET", f"/jobs/{job_id}")).body["job"]["Status"] == "Cancelled"

    await until_answered(has_ended, "the end of the job")
    assert gate.pids == []


async def test_who_asks_first_while_it_is_away_is_told_so_as_soon_as_it_cannot_be_reached(
    server: PostgresServer,
) -> None:
    # Both would wait for an hour otherwise.
    dsn = server.dsn(server.create_upgraded())
    database, of_results = Database(dsn, wait_seconds=3600.0), AsyncDatabase(dsn, wait_seconds=3600.0)
    await asyncio.to_thread(database.open)
    await of_results.open()
    await asyncio.to_thread(server.stop)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(DatabaseAwayError):
                await asyncio.to_thread(database.row, "SELECT 1")
            with pytest.raises(DatabaseAwayError):
                await of_results.row("SELECT 1")
    finally:
        await asyncio.to_thread(server.start)
        await of_results.close()
        await asyncio.to_thread(database.close)
