"""Workers beside hosts that only serve: what they run, how they end, and how they are exchanged."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import pytest

from ..conftest import Host
from ..engines import HostEngine
from ..functions import sample
from ..gate import Gate, until_answered
from ..http.test_jobs_resource import job, until
from ..workers import worker

psycopg = pytest.importorskip("psycopg")
StartHost = Callable[..., Awaitable[Host]]
pytestmark = pytest.mark.parametrize("engine", ["postgres"], indirect=True)


@pytest.fixture
def dsn(engine: HostEngine) -> str:
    return str(engine.settings["dsn"])


def counted(dsn: str, name: str) -> float:
    """What all processes have counted of it."""
    with psycopg.connect(dsn) as connection:
        query = "SELECT number FROM aiohttp_jobs.counted_numbers WHERE name = %s"
        return float((connection.execute(query, (name,)).fetchone() or (0.0,))[0])


async def test_a_worker_runs_what_it_offers_until_it_is_drained(
    start_host: StartHost, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOHTTP_JOBS_METRICS_ENABLED", "1")
    host = await start_host(functions=sample.jobs, runs_jobs=False)
    caller, admin = host.caller("task_manager"), host.caller("system_admin")
    labelled = await caller.submit("echo on $AIOHTTP_JOBS_NAME", labels=["gpu"])
    assert "takes jobs of the kind BackgroundJob" in (await job(caller, labelled))["WaitingFor"]
    options = ("--label", "gpu", "--name", "big", "--import", "tests.functions.sample")
    async with worker(dsn, tmp_path / "worker", *options) as there:
        assert (await caller.result(labelled))["Status"] == "Succeeded"
        # With a secret value, which the host has encrypted.
        body = {"values": {"user": "bob", "password": "correct horse"}}
        run = await caller.request("POST", "/functions/login/run?wait=60", json=body)
        assert run.body["result"]["ReturnValue"] == 13, run.body
        (shown,) = [
            each
            for each in (await admin.request("GET", "/workers")).body["workers"]
            if each["Kind"] == "worker"
        ]
        assert (shown["Name"], shown["Labels"]) == ("big", ["gpu"])
        assert shown["Places"] == {"Runspace": 1, "BackgroundJob": 2}
        # It goes on with what it runs, and takes no more.
        gate = Gate(tmp_path / "gate")
        running = await caller.submit(gate.shell)
        await gate.reached()
        drained = await admin.request("POST", f"/workers/{shown['WorkerID']}/drain")
        assert drained.status == 202
        await there.until_said("Somebody drains this worker")
        left = await caller.submit("true")
        gate.open()
        assert await there.ended() == 0
    assert (await caller.result(running))["Status"] == "Succeeded"
    assert (await job(caller, left))["Status"] == "Queued"
    # What it did is counted where hosts look, and stays so.
    assert counted(dsn, "ended|Succeeded|BackgroundJob") >= 2


async def test_an_exchange_of_workers_loses_nothing(start_host: StartHost, dsn: str, tmp_path: Path) -> None:
    caller = (await start_host(runs_jobs=False)).caller("task_manager")
    gate = Gate(tmp_path / "gate")
    ran = tmp_path / "ran"
    async with worker(dsn, tmp_path / "old", "--grace", "60") as old:
        job_ids = [await caller.submit(f"{gate.shell}; echo {number} >> {ran}") for number in range(2)]
        await gate.reached(2)
        job_ids += [await caller.submit(f"echo {number} >> {ran}") for number in range(2, 6)]
        old.process.send_signal(signal.SIGTERM)
        await old.until_said("Takes no more jobs")
        async with worker(dsn, tmp_path / "new"):
            results = [await caller.result(each) for each in job_ids[2:]]
            gate.open()
            assert await old.ended() == 0
            results += [await caller.result(each) for each in job_ids[:2]]
    assert {each["Status"] for each in results} == {"Succeeded"}
    assert sorted(ran.read_text().split()) == [str(number) for number in range(6)]


async def test_a_second_signal_ends_what_runs_now(start_host: StartHost, dsn: str, tmp_path: Path) -> None:
    caller = (await start_host(runs_jobs=False)).caller("task_manager")
    async with worker(dsn, tmp_path / "worker", "--grace", "600") as there:
        job_id = await caller.submit("echo begun; sleep 600")
        await until(caller, job_id, "Running")
        there.process.send_signal(signal.SIGTERM)
        await there.until_said("Another signal ends them now")
        there.process.send_signal(signal.SIGTERM)
        assert await there.ended() == 0
    result = await caller.result(job_id)
    assert result["Status"] == "Interrupted"
    assert "the server shut down" in result["Output"]


async def test_one_that_could_not_ask_for_roles_of_now_does_not_start(
    start_host: StartHost, dsn: str, tmp_path: Path
) -> None:
    async def roles(_user: str) -> Collection[str]:
        return {"task_manager"}

    await start_host(runs_jobs=False, roles_resolver=roles)
    async with worker(dsn, tmp_path / "worker", is_ready=False) as there:
        assert await there.ended() == 1
    assert "ask a roles_resolver" in " ".join(there.said)


async def test_one_that_comes_before_the_first_host_waits_for_it(
    start_host: StartHost, dsn: str, tmp_path: Path
) -> None:
    async with worker(dsn, tmp_path / "worker", is_ready=False) as there:
        await there.until_said("No host has started on this database yet")
        caller = (await start_host(runs_jobs=False)).caller("task_manager")
        assert (await caller.run("echo hello"))["Output"] == "hello\n"


async def test_one_that_died_is_no_longer_waited_for(start_host: StartHost, dsn: str, tmp_path: Path) -> None:
    host = await start_host(runs_jobs=False)
    caller = host.caller("task_manager")
    async with worker(dsn, tmp_path / "worker"):
        assert (await caller.run("true"))["Status"] == "Succeeded"
    job_id = await caller.submit("true")

    async def waits() -> bool:
        return "WaitingFor" in await job(caller, job_id)

    await until_answered(waits, "saying that nobody runs it")


async def test_one_that_finds_no_database_waits_for_it_and_ends_when_it_is_told_to(
    dsn: str, tmp_path: Path
) -> None:
    nowhere = f"{dsn.partition('?')[0]}?host={tmp_path}"
    async with worker(nowhere, tmp_path / "worker", is_ready=False) as there:
        await there.until_said("The database cannot be reached yet, and is waited for")
        there.process.send_signal(signal.SIGTERM)
        assert await there.ended() == 0
    assert "Traceback" not in "".join(there.said)
