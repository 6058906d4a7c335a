"""The door: a PowerShell process is told of a job while its claim is being written.

Nothing of it may run before that is on the disk, nor when the job is refused or stopped meanwhile; and the
next job finds nothing of it.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.files import group_commit
from aiohttp_jobs.engine.embedded.files.journal import Journal
from aiohttp_jobs.worker.base import ExpectedJob
from aiohttp_jobs.worker.powershell import host as powershell_host
from aiohttp_jobs.worker.powershell.host import PowerShellHost

from ..conftest import Caller, Host
from ..gate import PATIENCE_SECONDS, until, until_answered
from ..powershell import needs_pwsh

pytestmark = [
    needs_pwsh,
    pytest.mark.timeout(300),
]
NEVER = 3600.0
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
SHOW = '"$PID [$($JobSubmission.JobName)] [$env:AIOHTTP_JOBS_JOB_NAME] [$env:TRACEPARENT]"'
MODES = ("Runspace", "BackgroundJob")
StartHost = Callable[..., Awaitable[Host]]


class Preparations:
    """Which jobs a process was told of ahead, in order, and which process; `again` is set at each.

    `placed` are those whose file it was told of too, and `hosts` all processes there were.
    """

    def __init__(self) -> None:
        self.of: dict[str, int] = {}
        self.placed: set[str] = set()
        self.again = Event()
        self.hosts: list[PowerShellHost] = []

    def note(self, job_id: str, pid: int) -> None:
        self.of[job_id] = pid
        self.again.set()

    @property
    def last(self) -> tuple[str, int]:
        return list(self.of.items())[-1]


class Directory:
    """The host's user table. Who asks for alice's roles once her job has been prepared waits for `go_on`."""

    def __init__(self, prepared: Preparations) -> None:
        self._prepared = prepared
        self.alice = {"debug"}
        self.is_asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def __call__(self, user_id: str) -> set[str] | None:
        if user_id != "alice":
            return {"system_admin", "debug"}
        if self._prepared.again.is_set() and not self.go_on.is_set():
            self.is_asked.set()
            await self.go_on.wait()
        return self.alice


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Preparations:
    seen, prepare, begin = Preparations(), PowerShellHost.prepare, PowerShellHost.__init__
    message = powershell_host.place

    def begin_and_note(host: PowerShellHost, *given: Any, **more: Any) -> None:
        begin(host, *given, **more)
        seen.hosts.append(host)

    def prepare_and_note(
        host: PowerShellHost, expected: ExpectedJob, running: Iterable[Mapping[str, Any]]
    ) -> None:
        prepare(host, expected, running)
        seen.note(expected.job_id, host.process.pid)

    def message_and_note(command_file: str, folder: str) -> bytes:
        seen.placed.add(seen.last[0])
        return message(command_file, folder)

    monkeypatch.setattr(powershell_host, "place", message_and_note)
    monkeypatch.setattr(PowerShellHost, "__init__", begin_and_note)
    monkeypatch.setattr(PowerShellHost, "prepare", prepare_and_note)
    return seen


def job(command: str, mode: str, name: str = "next") -> dict[str, Any]:
    return {"jobName": name, "command": command, "executionMode": mode, "interpreter": "powershell"}


async def run(caller: Caller, command: str, mode: str = "Runspace") -> dict[str, Any]:
    answer = await caller.request("POST", "/jobs/submit?wait=60", json=job(command, mode))
    assert answer.status == 200, answer.body
    return answer.body["result"] or await caller.result(answer.body["jobId"])


async def run_prepared(caller: Caller, prepared: Preparations, command: str, mode: str = "Runspace") -> str:
    """The output of a job that a process was told of ahead."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            result = await run(caller, command, mode)
            await until_one_waits(prepared)
            if result["JobID"] in prepared.of:
                return str(result["Output"])


async def until_one_waits(prepared: Preparations) -> None:
    await until(lambda: any(host.can_prepare for host in prepared.hosts), "a process waits for a job")


async def test_nothing_runs_before_the_claim_is_on_the_disk(
    start_host: StartHost, prepared: Preparations, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = await start_host(poll_interval=NEVER, powershell_spares=0)
    caller, mark, write = host.caller("debug"), tmp_path / "mark", Journal.write
    await run_prepared(caller, prepared, "1")
    was_there: list[bool] = []

    def write_once_prepared(journal: Journal, entries: Any) -> bool:
        if not was_there and prepared.again.wait(1):
            Event().wait(0.3)  # in which a process that did not wait would have run it
            was_there.append(mark.exists())
        return write(journal, entries)

    prepared.again.clear()
    monkeypatch.setattr(Journal, "write", write_once_prepared)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not was_there:
            mark.unlink(missing_ok=True)
            assert (await run(caller, f"'' > '{mark}'"))["Success"] is True
            if prepared.of and prepared.last[0] not in prepared.placed:
                was_there.clear()
    assert was_there == [False]
    assert mark.exists()


async def test_a_job_whose_place_was_told_ahead_runs_there(
    start_host: StartHost, prepared: Preparations
) -> None:
    host = await start_host(poll_interval=NEVER, powershell_spares=0)
    shown = """$own = 1
        $PSCommandPath -eq "$PSScriptRoot/command.ps1"
        $PWD.Path -eq "$PSScriptRoot/work" -and [Environment]::CurrentDirectory -eq $PWD.Path
        "$global:own $($MyInvocation.MyCommand.CommandType)"
    """
    assert await run_prepared(host.caller("debug"), prepared, shown) == "True\nTrue\n1 ExternalScript\n"
    assert prepared.last[0] in prepared.placed


async def test_what_was_told_ahead_is_not_told_again(
    start_host: StartHost, prepared: Preparations, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await start_host(poll_interval=NEVER, powershell_spares=0)
    caller, told = host.caller("debug"), list[str]()
    await run_prepared(caller, prepared, "1")
    request = powershell_host.request

    def request_and_note(submission: Any, *more: Any) -> bytes:
        told.append(submission.job_id)
        return request(submission, *more)

    monkeypatch.setattr(powershell_host, "request", request_and_note)
    assert (await run_prepared(caller, prepared, SHOW)).endswith(" [next] [next] []\n")
    assert told[-1] == prepared.last[0]
    assert len(told) == len(set(told))


@pytest.mark.parametrize("mode", MODES)
async def test_a_job_whose_claim_fails_runs_nothing_and_leaves_nothing(
    start_host: StartHost,
    prepared: Preparations,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mode: str,
) -> None:
    host = await start_host(poll_interval=NEVER, powershell_spares=int(mode == "BackgroundJob"))
    caller, mark = host.caller("debug"), tmp_path / "mark"
    await run(caller, "1", mode)
    before = (await run_prepared(caller, prepared, SHOW)).split()[0] if mode == "Runspace" else None
    command = f"'' > '{mark}'; {SHOW}"

    def fail_once_prepared(*_: Any) -> bool:
        prepared.again.wait(1)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def has_failed_prepared() -> bool:
        await until_one_waits(prepared)
        count = len(prepared.of)
        prepared.again.clear()
        refused = job(command, mode, "refused")
        answer = await caller.request("POST", "/jobs/submit?wait=60", json=refused, headers=TRACE)
        assert answer.status == 503
        return len(prepared.of) > count

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "write", fail_once_prepared)
        broken.setattr(group_commit, "_sync_file", fail_once_prepared)
        await until_answered(has_failed_prepared, "a job was prepared whose claim failed")
    _, told = prepared.last
    after = (await run(caller, SHOW, mode))["Output"]

    assert not mark.exists()
    assert after.endswith(" [next] [next] []\n")
    # A process that was told of one user's job may serve that user alone: a spare has ended.
    assert after.split()[0] == before if mode == "Runspace" else int(after.split()[0]) != told


async def test_a_job_that_is_stopped_or_refused_at_pick_up_runs_nothing_and_leaves_nothing(
    start_host: StartHost, prepared: Preparations, tmp_path: Path
) -> None:
    directory = Directory(prepared)
    settings = {"roles_resolver": directory, "roles_cache_seconds": 0, "powershell_spares": 0}
    host = await start_host(poll_interval=NEVER, **settings)
    alice, admin = host.caller("debug"), host.caller("system_admin", user_id="admin")
    mark, seen = tmp_path / "mark", set[str]()
    before = (await run_prepared(alice, prepared, SHOW)).split()[0]

    async def note_status(job_id: str) -> bool:
        answer = await admin.request("GET", f"/results/{job_id}")
        if answer.status == 200:
            seen.add(answer.body["result"]["Status"])
        return answer.status == 200

    async def did_not_run() -> bool:
        count = len(prepared.of)
        prepared.again.clear()
        directory.go_on.clear()
        asked = job(f"'' > '{mark}'", "Runspace", "stopped")
        answering = asyncio.create_task(
            alice.request("POST", "/jobs/submit?wait=60", json=asked, headers=TRACE)
        )
        await until(lambda: directory.is_asked.is_set() or answering.done(), "it is asked who alice is")
        directory.is_asked.clear()
        if not answering.done() and "Cancelled" not in seen:
            answer = await admin.request("POST", f"/jobs/{prepared.last[0]}/cancel")
            assert answer.status == 202, answer.body
        elif not answering.done():
            directory.alice = set()
        directory.go_on.set()
        await answering
        if len(prepared.of) > count:
            await until_answered(partial(note_status, prepared.last[0]), "it has a result")
        directory.alice = {"debug"}
        return seen == {"Cancelled", "Rejected"}

    await until_answered(did_not_run, "jobs were prepared, and then did not run")
    assert not mark.exists()
    assert (await run(alice, SHOW))["Output"] == f"{before} [next] [next] []\n"
