"""When jobs start: at once, in order, within the limits of their mode; and what happens at the end."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.findings import Look
from aiohttp_jobs.engine.embedded.queue import PendingJob
from aiohttp_jobs.engine.embedded.store import FileSystemStore

from ...conftest import Host
from ...gate import PATIENCE_SECONDS, Gate, until
from .drops import Drops

StartHost = Callable[..., Awaitable[Host]]
MODES = ("MainLoop", "Runspace", "BackgroundJob")
NEVER = 3600.0


def most_at_once(events: Path) -> int:
    """Of what jobs wrote as they began (``+``) and ended (``-``)."""
    running = most = 0
    for event in events.read_text().split():
        running += 1 if event == "+" else -1
        most = max(most, running)
    assert running == 0
    return most


# --- waking up


@pytest.mark.parametrize("mode", MODES)
async def test_a_submission_wakes_the_dispatcher(start_host: StartHost, mode: str) -> None:
    host = await start_host(poll_interval=NEVER)

    assert (await host.caller("debug").run("echo woken", mode))["Output"] == "woken\n"


async def test_a_job_that_ends_makes_room_for_the_next_at_once(start_host: StartHost) -> None:
    host = await start_host(poll_interval=NEVER, max_parallel_background=1)
    alice = host.caller("debug")
    jobs = [await alice.submit(f"echo {number}") for number in range(3)]

    assert [(await alice.result(job))["Output"] for job in jobs] == ["0\n", "1\n", "2\n"]


async def test_a_file_of_another_program_is_found_at_the_next_look(start_host: StartHost) -> None:
    host = await start_host(poll_interval=0.05)
    drops = Drops(host)
    record = drops.signed()
    drops.put(record)

    assert (await host.caller().result(record["JobID"]))["Success"] is True


async def test_a_pause_is_not_undone_by_a_look_that_began_before(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await start_host(poll_interval=NEVER)
    admin, look = host.caller("system_admin"), FileSystemStore.look
    has_looked, goes_on = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def look_and_wait(store: FileSystemStore, known: Collection[str]) -> Look:
        seen = await look(store, known)
        has_looked.release()
        await goes_on.acquire()
        return seen

    monkeypatch.setattr(FileSystemStore, "look", look_and_wait)
    await admin.request("POST", "/queue/pick-up")
    await asyncio.wait_for(has_looked.acquire(), PATIENCE_SECONDS)
    assert (await admin.request("POST", "/queue/pause")).status == 200
    await admin.request("POST", "/queue/pick-up")
    goes_on.release()
    await asyncio.wait_for(
        has_looked.acquire(), PATIENCE_SECONDS
    )  # the next look: what the one before saw is known now
    assert (await admin.request("GET", "/queue")).body["queue"]["paused"] is True
    goes_on.release()


# --- order and limits


@pytest.mark.parametrize("mode", MODES)
async def test_first_in_first_out(start_host: StartHost, tmp_path: Path, mode: str) -> None:
    host = await start_host(max_parallel_background=1, max_parallel_runspace=1)
    alice, gate, order = host.caller("debug"), Gate(tmp_path / "gate"), tmp_path / "order"
    await alice.submit(gate.shell, mode)
    await gate.reached()
    jobs = [await alice.submit(f"echo {number} >> {order}", mode) for number in range(6)]

    gate.open()

    for job_id in jobs:
        await alice.result(job_id)
    assert order.read_text().split() == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(("mode", "limit"), [("MainLoop", 1), ("Runspace", 2), ("BackgroundJob", 3)])
async def test_a_mode_never_runs_more_jobs_at_once_than_it_may(
    start_host: StartHost, tmp_path: Path, mode: str, limit: int
) -> None:
    host = await start_host(max_parallel_runspace=2, max_parallel_background=3)
    alice, gate, events = host.caller("debug"), Gate(tmp_path / "gate"), tmp_path / "events"
    command = f"echo + >> {events}; {gate.shell}; echo - >> {events}"
    jobs = [await alice.submit(command, mode) for _ in range(3 * limit)]
    await gate.reached(limit)
    gate.open()

    for job_id in jobs:
        assert (await alice.result(job_id))["Success"] is True
    assert most_at_once(events) == limit


@pytest.mark.parametrize(
    ("setting", "users", "most"), [("max_parallel", "abcd", 2), ("max_parallel_per_user", "ab", 4)]
)
@pytest.mark.slow
async def test_limits_over_all_modes_hold_too(
    start_host: StartHost, tmp_path: Path, setting: str, users: str, most: int
) -> None:
    host = await start_host(**{setting: 2})
    callers, events = [host.caller("debug", user_id=user) for user in users], tmp_path / "events"
    gate = Gate(tmp_path / "gate")
    command = f"echo + >> {events}; {gate.shell}; echo - >> {events}"
    jobs = [
        (caller, await caller.submit(command, mode))
        for caller in callers
        for mode in (*MODES[1:], *MODES[1:])
    ]
    await gate.reached(most)
    gate.open()

    for caller, job_id in jobs:
        assert (await caller.result(job_id))["Success"] is True
    assert most_at_once(events) == most


@pytest.mark.parametrize(("full", "other"), [("Runspace", "BackgroundJob"), ("BackgroundJob", "Runspace")])
async def test_a_full_mode_does_not_hold_up_another(
    start_host: StartHost, tmp_path: Path, full: str, other: str
) -> None:
    host = await start_host(max_parallel_runspace=1, max_parallel_background=1)
    alice, gate = host.caller("debug"), Gate(tmp_path / "gate")
    jobs = [await alice.submit(gate.shell, full) for _ in range(3)]
    await gate.reached()

    assert (await alice.run("echo passed", other))["Output"] == "passed\n"
    assert (await alice.run("echo passed too", "MainLoop"))["Output"] == "passed too\n"
    assert len(gate.pids) == 1
    gate.open()
    for job_id in jobs:
        assert (await alice.result(job_id))["Success"] is True


async def test_a_main_loop_job_that_waits_holds_the_others_up_but_not_the_server(
    host: Host, tmp_path: Path
) -> None:
    alice, gate, other = host.caller("debug"), Gate(tmp_path / "gate"), Gate(tmp_path / "other")
    other.open()
    first = await alice.submit(gate.awaiting_python, "MainLoop", interpreter="python")
    await gate.reached()
    held_up = [await alice.submit(other.shell, mode) for mode in MODES]
    for _ in range(20):
        assert (await alice.request("GET", "/jobs/results")).status == 200
        await asyncio.sleep(0.01)

    assert not other.pids
    gate.open()

    ended = (await alice.result(first))["DateCompleted"]
    for job_id in held_up:
        assert (await alice.result(job_id))["DateStarted"] >= ended


async def test_a_main_loop_job_can_be_cancelled_through_another_host(
    start_host: StartHost, tmp_path: Path
) -> None:
    one, two = await start_host(), await start_host(poll_interval=NEVER)
    gate = Gate(tmp_path / "gate")
    job_id = await one.caller("debug").submit(gate.shell, "MainLoop")
    await gate.reached()

    answer = await two.caller("debug").request("POST", f"/jobs/{job_id}/cancel")

    assert answer.status == 202
    assert (await one.caller().result(job_id))["Status"] == "Cancelled"


# --- results that cannot be written


@pytest.mark.parametrize("found", ["before the refusal", "after it"])
async def test_a_refused_submission_that_a_look_has_found_does_not_wait(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    host = await start_host(poll_interval=NEVER)
    admin, alice = host.caller("system_admin"), host.caller("debug")
    await admin.request("POST", "/queue/pause")
    add, look = FileSystemStore.add, FileSystemStore.look
    is_written, refuse, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    has_looked = asyncio.Semaphore(0)
    seen: list[str] = []

    async def add_and_refuse(store: FileSystemStore, *which: Any) -> PendingJob:
        pending = await add(store, *which)
        is_written.set()
        await refuse.wait()
        Path(pending.key).unlink()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def look_and_wait(store: FileSystemStore, known: Collection[str]) -> Look:
        looked = await look(store, known)
        seen.extend(job.job_name for job in looked.found.jobs)
        has_looked.release()
        await go_on.wait()
        return looked

    async def next_look() -> None:
        """It begins when what the one before it found has been taken in."""
        await admin.request("POST", "/queue/pick-up")
        await asyncio.wait_for(has_looked.acquire(), PATIENCE_SECONDS)

    monkeypatch.setattr(FileSystemStore, "add", add_and_refuse)
    monkeypatch.setattr(FileSystemStore, "look", look_and_wait)
    submitting = asyncio.create_task(alice.submit("true"))
    await asyncio.wait_for(is_written.wait(), PATIENCE_SECONDS)
    await next_look()
    assert seen == ["test"]
    if found == "before the refusal":
        go_on.set()
        await next_look()
    refuse.set()
    with pytest.raises(AssertionError, match="storage_unavailable"):
        await submitting
    if found == "after it":
        go_on.set()
        await next_look()
    assert (await admin.request("GET", "/queue")).body["queue"]["queued"] == 0


async def test_whoever_is_refused_a_job_that_cannot_be_removed_either_is_told_that_it_may_still_run(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, waiting, unlink = host.caller("debug"), host.base_dir / "JobSubmission" / "alice", os.unlink
    await alice.run("true", concurrencyKey="one")  # makes the folder

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def keep(path: str, **where: int) -> None:
        if Path(path).parent == waiting:
            refuse()
        unlink(path, **where)

    with monkeypatch.context() as patch:
        for call, instead in (("pwritev", refuse), ("fsync", refuse), ("unlink", keep)):
            patch.setattr(os, call, instead)
        job = {
            "jobName": "test",
            "command": "true",
            "executionMode": "BackgroundJob",
            "concurrencyKey": "one",
        }
        answer = await alice.request("POST", "/jobs/submit", json=job)
        (left,) = waiting.glob("*.json")
    assert (answer.status, answer.body["code"]) == (503, "may_still_run")
    assert "Retry-After" not in answer.headers, "a client may submit it twice"
    job_id = left.stem.rpartition("_")[2]
    assert job_id in answer.body["error"]
    assert (await alice.request("GET", f"/jobs/{job_id}")).status == 404
    await host.caller("system_admin").request("POST", "/queue/pick-up")
    await until(lambda: not left.exists(), "the removal of what was refused")
    assert [each["JobName"] for each in await alice.results()] == ["test"]


async def test_a_result_that_cannot_be_written_is_kept_until_it_can(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alice, gate, ran = host.caller("debug"), Gate(tmp_path / "gate"), tmp_path / "ran"
    jobs = [await alice.submit(f"echo {mode} >> {ran}; {gate.shell}; echo done", mode) for mode in MODES[1:]]
    await gate.reached(2)
    folder = host.base_dir / "JobResults"
    aside = folder.rename(host.base_dir / "aside")
    folder.symlink_to("/proc")  # where nothing can be written
    gate.open()
    for job_id in jobs:
        await until(lambda job_id=job_id: f"The result of job {job_id}" in caplog.text, "a complaint")

    folder.unlink()
    aside.rename(folder)

    for job_id in jobs:
        result = await alice.result(job_id)
        assert (result["Output"], result["Success"]) == ("done\n", True)
    assert sorted(ran.read_text().split()) == ["BackgroundJob", "Runspace"]
    assert len(list(folder.glob("*.json"))) == 2


@pytest.mark.parametrize("refusals", [0, 1], ids=["written", "refused once"])
async def test_a_job_that_is_cancelled_while_its_next_attempt_is_written_does_not_run_again(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    is_written, goes_on, retry = asyncio.Event(), asyncio.Event(), FileSystemStore.retry
    refused: list[int] = []

    async def retry_slowly(store: FileSystemStore, *which: Any) -> PendingJob:
        pending = await retry(store, *which)
        is_written.set()
        await goes_on.wait()
        if len(refused) < refusals:
            refused.append(1)
            raise OSError("the disk has not made it durable")
        return pending

    monkeypatch.setattr(FileSystemStore, "retry", retry_slowly)
    alice, ran = host.caller("debug"), tmp_path / "ran"
    policy = {"count": 1, "backoffSeconds": 0, "on": ["Failed"]}
    job_id = await alice.submit(f"echo ran >> {ran}; exit 3", retry=policy)
    await asyncio.wait_for(is_written.wait(), PATIENCE_SECONDS)
    assert (await alice.request("POST", f"/jobs/{job_id}/cancel")).status == 202
    goes_on.set()

    result = await alice.result(job_id)
    assert (result["Status"], [each["Status"] for each in result["Attempts"]]) == (
        "Cancelled",
        ["Failed", "Cancelled"],
    )
    assert ran.read_text() == "ran\n"
    await alice.request("POST", "/queue/pick-up")
    await alice.run("true")
    assert len(await alice.results()) == 2, "nothing is left of the next attempt that could be found"


async def test_a_result_is_there_though_the_index_cannot_be_written(host: Host, tmp_path: Path) -> None:
    alice, gate = host.caller("debug"), Gate(tmp_path / "gate")
    job_id = await alice.submit(f"{gate.shell}; echo done")
    await gate.reached()
    index = host.base_dir / "results.index.sqlite3"
    while not index.is_dir():  # it may be made anew in between
        for path in host.base_dir.glob(f"{index.name}*"):
            path.unlink(missing_ok=True)
        with suppress(FileExistsError):
            index.mkdir()
    gate.open()
    await until((host.base_dir / "JobResults" / f"{job_id}.json").exists, "the result")
    with suppress(FileNotFoundError, NotADirectoryError):  # or it was put aside and made anew already
        index.rmdir()

    assert (await alice.result(job_id))["Output"] == "done\n"
    assert (await alice.run("echo after"))["Success"] is True


# --- the end


async def test_a_job_that_ends_within_the_grace_time_succeeds(start_host: StartHost, tmp_path: Path) -> None:
    host = await start_host(shutdown_grace=20)
    alice, gate = host.caller("debug"), Gate(tmp_path / "gate")
    jobs = [await alice.submit(f"{gate.shell}; echo done", mode) for mode in MODES[1:]]
    await gate.reached(2)

    stopping = asyncio.create_task(host.stop())
    gate.open()
    await stopping

    for job_id in jobs:
        record = json.loads((host.base_dir / "JobResults" / f"{job_id}.json").read_text())
        assert (record["Status"], record["Output"]) == ("Succeeded", "done\n")


async def test_what_runs_at_the_end_is_stopped_and_what_waits_runs_next_time(
    start_host: StartHost, tmp_path: Path
) -> None:
    first = await start_host(max_parallel_background=1, max_parallel_runspace=1)
    alice, gate, ran = first.caller("debug"), Gate(tmp_path / "gate"), tmp_path / "ran"
    running = [await alice.submit(f"echo so far; {gate.shell}", mode) for mode in MODES[1:]]
    await gate.reached(2)
    waiting = [await alice.submit(f"echo {mode} >> {ran}", mode) for mode in MODES[1:]]

    await first.stop()

    assert not ran.exists()
    for job_id in running:
        record = json.loads((first.base_dir / "JobResults" / f"{job_id}.json").read_text())
        assert record["Status"] == "Interrupted"
        assert record["Output"] == "so far\n[ERROR] The job was stopped because the server shut down.\n"
    alice = (await start_host()).caller("debug")
    for job_id in waiting:
        assert (await alice.result(job_id))["Success"] is True
    assert sorted(ran.read_text().split()) == ["BackgroundJob", "Runspace"]
    assert len(await alice.results()) == 4


async def test_a_job_submitted_at_the_last_moment_neither_delays_the_end_nor_is_lost(
    start_host: StartHost, tmp_path: Path
) -> None:
    first = await start_host(shutdown_grace=0)
    alice, gate = first.caller("debug"), Gate(tmp_path / "gate")
    jobs = [await alice.submit(gate.shell) for _ in range(3)]

    async with asyncio.timeout(PATIENCE_SECONDS):
        await first.stop()

    gate.open()
    alice = (await start_host()).caller("debug")
    for job_id in jobs:
        assert (await alice.result(job_id))["Status"] in ("Succeeded", "Interrupted")
    assert len(await alice.results()) == 3
