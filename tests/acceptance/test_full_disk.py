"""Disks that are full, read-only, failing or somebody else's: real ones, mounted for the test (root only)."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from aiohttp_jobs import ConfigurationError
from aiohttp_jobs.worker.output.log import OutputLog

from ..conftest import Answer, Caller, Host
from ..functions import sample
from ..gate import PATIENCE_SECONDS, Gate, until, until_answered
from ..hosts.process import ROOT, caller_of, new_key, running
from ..routes import walk

StartHost = Callable[..., Awaitable[Host]]

JOB = {"jobName": "test", "command": "echo hello; echo again", "executionMode": "BackgroundJob"}
TEMPLATE = {"name": "greet", "command": "echo hello", "executionMode": "BackgroundJob"}
SCHEDULE = {"name": "nightly", "cron": "0 3 * * *", "job": JOB}
TRIGGER = {"name": "push", "proof": "github"}
KEY = {"name": "mine", "roles": ["task_manager"]}


class Disk:
    """A small file system of its own, at `path`."""

    def __init__(self, path: Path, mega_bytes: int) -> None:
        self.path = path
        path.mkdir(mode=0o700)
        options = f"size={mega_bytes}m,mode=700"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=False, capture_output=True
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
        self._filling = path / "filling"

    def fill(self) -> None:
        """Take all the room there is."""
        with suppress(OSError), self._filling.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def leave(self, count: int) -> None:
        """Give back `count` bytes of it."""
        os.truncate(self._filling, max(0, self._filling.stat().st_size - count))

    def clear(self) -> None:
        self._filling.unlink()

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.path)], check=True)

    def turn_read_only(self) -> None:
        """As the kernel does it to a disk with errors: what is open stays open."""
        subprocess.run(["mount", "--bind", str(self.path), str(self.path)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(self.path)], check=True)

    def turn_writable(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting takes root and mount")
    mounted = Disk(tmp_path / "disk", 48)
    yield mounted
    mounted.unmount()


@pytest.fixture
def start_on(disk: Disk, start_host: StartHost) -> Callable[..., Awaitable[Host]]:
    """Starts a host whose data folder is on the small disk, and which uses the last byte of it."""

    async def start(**settings: Any) -> Host:
        (disk.path / "data").mkdir(mode=0o700, exist_ok=True)
        return await start_host(data_dir=disk.path / "data", **{"min_free_bytes": 0, **settings})

    return start


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is in the log from warnings on, without what is said of root and of memory at each start."""
    records = [record for record in caplog.records if record.name.startswith("aiohttp_jobs")]
    for record in records:
        assert record.exc_info is None, record.getMessage()
    texts = [record.getMessage() for record in records if record.levelno >= logging.WARNING]
    return [text for text in texts if "runs as root" not in text]


def assert_no_room(answer: Answer) -> None:
    assert (answer.status, answer.body["code"]) == (507, "insufficient_storage"), answer.body
    assert int(answer.headers["Retry-After"]) > 0
    assert "full" in answer.body["error"]


async def is_over(caplog: pytest.LogCaptureFixture) -> None:
    await until(lambda: any("again, after" in text for text in said(caplog)), "the end of it in the log")


async def test_a_start_without_room_is_one_sentence(start_on: StartHost, disk: Disk) -> None:
    disk.fill()
    with pytest.raises(ConfigurationError, match=r"no room .*at least 1 MB is needed .*disk/data") as caught:
        await start_on()
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    disk.leave(2 << 20)
    await start_on()


async def test_a_start_on_a_read_only_disk_is_one_sentence(start_on: StartHost, disk: Disk) -> None:
    (disk.path / "data").mkdir(mode=0o700)
    disk.remount("ro")
    with pytest.raises(ConfigurationError, match="read-only"):
        await start_on()


@pytest.mark.parametrize("shared", ["true", "false"])
def test_a_start_in_a_folder_of_another_owner_is_one_sentence(tmp_path: Path, shared: str) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("to give a folder away takes root, and to be refused then setpriv")
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    started = subprocess.run(
        ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown", sys.executable,
         "-m", "demo_app", "--data-dir", str(folder), "--port", "0"],
        cwd=ROOT, env={**os.environ, "AIOHTTP_JOBS_ALLOW_SHARED_DATA_DIR": shared},
        check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert started.returncode == 1
    assert str(folder) in started.stderr
    assert "Traceback" not in started.stderr


async def test_what_writes_is_refused_while_there_is_no_room_and_said_once(
    start_on: StartHost, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_on()
    alice = await host.signed_in("system_admin", "task_manager")
    job_id = (await alice.run("echo hello; echo again"))["JobID"]
    later = await alice.submit("true", delaySeconds=3600)
    await alice.results()  # so that the index is written
    made = {}
    for name, path, body in (("template", "/templates", TEMPLATE), ("schedule", "/schedules", SCHEDULE)):
        answer = await alice.request("POST", path, json=body)
        assert answer.status == 201
        made[name] = f"{path}/{answer.body[name][f'{name.capitalize()}ID']}"
    disk.fill()
    for method, path, body in (
        ("POST", "/jobs/submit", JOB),
        ("POST", "/templates", TEMPLATE),
        ("PUT", made["template"], TEMPLATE),
        ("POST", f"{made['template']}/run", {}),
        ("POST", "/schedules", SCHEDULE),
        ("PATCH", made["schedule"], {"enabled": False}),
        ("POST", "/api-keys", KEY),
        ("POST", f"/jobs/{job_id}/rerun", {}),
    ):
        assert_no_room(await alice.request(method, path, json=body))
    refused = await host.stranger().request(
        "POST", f"{host.address}/login", json={"user_id": "bob", "roles": ["viewer"]}
    )
    assert (refused.status, refused.headers["Retry-After"]) == (507, "30")
    assert "disk is full" in refused.body

    # What is read is there, and what frees room is done.
    assert [record["JobID"] for record in await alice.results()] == [job_id]
    assert (await alice.request("GET", f"/jobs/{job_id}/output")).body == "hello\nagain\n"
    assert (await alice.request("GET", "/jobs")).status == 200
    for path in (made["schedule"], made["template"], f"/jobs/results?jobId={job_id}"):
        answer = await alice.request("DELETE", path)
        assert answer.status == 200, answer.body
    assert (await alice.request("POST", f"/jobs/{later}/cancel", json={})).status in {200, 202}

    assert len(said(caplog)) == 1, said(caplog)
    assert "no room" in said(caplog)[0]
    disk.clear()
    await is_over(caplog)
    assert (await alice.result(later))["Status"] == "Cancelled"
    assert (await alice.run("echo hello; echo again"))["Output"] == "hello\nagain\n"
    assert len(said(caplog)) == 2, said(caplog)


async def one_of_each(host: Host, alice: Caller) -> dict[str, str]:
    """The ids of what the paths of routes name, by the names that they have there."""
    nobody = [{"channel": "webhook", "url": "http://127.0.0.1:9/", "on": "always"}]
    found = {
        "job_id": (await alice.run("echo hello; echo again", notify=nobody))["JobID"],
        "waiting_id": await alice.submit("true", delaySeconds=3600),
    }
    for path, made, body in (
        ("/templates", "template.TemplateID", TEMPLATE),
        ("/schedules", "schedule.ScheduleID", SCHEDULE),
        ("/api-keys", "apiKey.KeyID", KEY),
    ):
        answer = await alice.request("POST", path, json=body)
        assert answer.status == 201, answer.body
        thing, name = made.split(".")
        found[f"{name.removesuffix('ID').lower()}_id"] = answer.body[thing][name]
    trigger = await alice.request("POST", f"/templates/{found['template_id']}/triggers", json=TRIGGER)
    found |= {"trigger_id": trigger.body["trigger"]["TriggerID"], "worker_id": str(uuid4())}
    await host.signed_in("task_manager")
    sessions = (await alice.request("GET", "/sessions")).body["sessions"]
    found["session_id"] = next(each["SessionID"] for each in sessions if not each["Current"])

    async def failed_notices() -> list[dict[str, Any]]:
        answer = await alice.request("GET", "/notices?state=failed")
        notices: list[dict[str, Any]] = answer.body["notices"]
        return notices

    await until_answered(failed_notices, "a notice failing")
    return {**found, "notice_id": (await failed_notices())[0]["NoticeID"]}


def writing_requests(ids: dict[str, str]) -> list[tuple[str, str, Any, bool]]:
    """A request to each route that changes something: the route, path, body, and whether it takes room."""
    takes_room: list[tuple[str, Any]] = [
        ("POST /jobs/submit", JOB),
        ("POST /jobs/{job_id}/rerun", {}),
        ("POST /templates", TEMPLATE),
        ("PUT /templates/{template_id}", TEMPLATE),
        ("POST /templates/{template_id}/run", {}),
        ("POST /templates/{template_id}/triggers", TRIGGER),
        ("PATCH /triggers/{trigger_id}", {"enabled": False}),
        ("POST /triggers/{trigger_id}/rotate", {}),
        ("POST /functions/{name}/run", {"values": {"name": "Ada"}}),
        ("POST /schedules", SCHEDULE),
        ("PATCH /schedules/{schedule_id}", {"enabled": False}),
        ("POST /api-keys", KEY),
        ("PATCH /api-keys/{key_id}", {"enabled": False}),
        ("DELETE /api-keys/{key_id}", None),
        ("POST /notices/{notice_id}/retry", {}),
    ]
    takes_none: list[tuple[str, Any]] = [
        ("POST /jobs/{job_id}/cancel", {}),
        ("DELETE /schedules/{schedule_id}", None),
        ("DELETE /triggers/{trigger_id}", None),
        ("DELETE /templates/{template_id}", None),
        ("DELETE /notices/{notice_id}", None),
        ("DELETE /sessions/{session_id}", None),
        ("POST /sessions/revoke", {"keepCurrent": True}),
        ("POST /queue/pause", {}),
        ("POST /queue/resume", {}),
        ("POST /queue/pick-up", {}),
        ("POST /mainloop/restart", {}),
        ("POST /workers/{worker_id}/drain", {}),
        ("POST /results/delete", {"jobIds": [ids["job_id"]]}),
        ("DELETE /jobs/results", None),
    ]
    special = {
        "POST /jobs/{job_id}/cancel": f"/jobs/{ids['waiting_id']}/cancel",
        "DELETE /jobs/results": f"/jobs/results?jobId={ids['job_id']}",
        "POST /functions/{name}/run": "/functions/greet/run",
    }
    return [
        (route, special.get(route) or route.partition(" ")[2].format(**ids), body, takes)
        for table, takes in ((takes_room, True), (takes_none, False))
        for route, body in table
    ]


async def test_every_route_says_that_there_is_no_room_or_does_without(
    start_on: StartHost, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """Or anybody who fills the disk would have made it fail."""
    host = await start_on(functions=sample.jobs, webhook_allowed_hosts=["127.0.0.1"], notice_max_attempts=1)
    alice = await host.signed_in("system_admin", "task_manager", "debug")
    ids = await one_of_each(host, alice)
    await alice.results()  # so that the index is written
    api = [route for route in walk(host) if "/api/v1/" in route.path]
    requests = writing_requests(ids)
    assert {name for name, *_ in requests} == {each.name for each in api if each.method != "GET"}
    disk.fill()
    for route in api:
        if route.method == "GET":
            path = route.name.partition(" ")[2].format(**ids, name="swagger-ui.css")
            async with alice.session.get(f"{alice.base}{path}") as response:
                assert response.status < 500, route.name
    for name, path, body, takes_room in requests:
        answer = await alice.request(name.split()[0], path, json=body)
        if takes_room:
            assert_no_room(answer)
        else:
            assert answer.status in {200, 202, 404}, (name, answer.body)
    assert len(said(caplog)) == 1, said(caplog)
    disk.clear()
    await is_over(caplog)


async def test_accepted_jobs_wait_for_room_and_all_of_them_run(
    start_on: StartHost, disk: Disk, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    host = await start_on(max_parallel_background=2)
    alice = host.caller("system_admin")
    with_gates = [Gate(tmp_path / f"gate{number}") for number in range(2)]
    running = [await alice.submit(f"{gate.shell}; echo done") for gate in with_gates]
    for gate in with_gates:
        await gate.reached()
    waiting = [await alice.submit(f"echo {number}; echo of many") for number in range(50)]
    disk.fill()
    for gate in with_gates:
        gate.open()
    await until(lambda: bool(said(caplog)), "the full disk in the log")
    answer = await alice.request("GET", "/jobs")
    assert {job["JobID"] for job in answer.body["jobs"]} == {*running, *waiting}
    disk.clear()
    for job_id in (*running, *waiting):
        result = await alice.result(job_id)
        assert result["Status"] == "Succeeded", result
    await is_over(caplog)
    assert len(said(caplog)) == 2, said(caplog)


async def test_a_job_that_cannot_be_started_waits_with_its_slot(
    start_on: StartHost, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """As the file with its command, which is longer than what is left, does not fit."""
    host = await start_on()
    alice = host.caller("system_admin")
    command = f"echo hello\n: {'x' * 100_000}"
    await alice.run("true && true")
    await alice.results()  # so that the index is written
    disk.fill()
    disk.leave(150 << 10)
    job_id = await alice.submit(command)
    await until(lambda: bool(said(caplog)), "the full disk in the log")
    assert (await alice.request("GET", f"/jobs/{job_id}")).body["job"]["Status"] == "Running"
    disk.clear()
    result = await alice.result(job_id)
    assert (result["Status"], result["Output"]) == ("Succeeded", "hello\n")
    await is_over(caplog)
    assert len(said(caplog)) == 2, said(caplog)


async def test_an_output_that_does_not_fit_is_whole_when_there_is_room(
    start_on: StartHost, disk: Disk, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    host = await start_on(max_output_bytes=100_000)
    alice = host.caller("system_admin")
    gate = Gate(tmp_path / "gate")
    job_id = await alice.submit(f"{gate.shell}; head -c 3000000 /dev/zero | tr '\\0' x; exit 3")
    await gate.reached()
    disk.fill()
    gate.open()
    await until(lambda: bool(said(caplog)), "the full disk in the log")
    disk.clear()
    result = await alice.result(job_id)
    text = (await alice.request("GET", f"/jobs/{job_id}/output")).body
    assert (result["Status"], result["ExitCode"], result["OutputSize"]) == ("Failed", 3, len(text))
    assert text.startswith("x" * 3_000_000)
    await is_over(caplog)
    assert len(said(caplog)) == 2, said(caplog)


async def test_the_index_stays_as_it_is_on_a_full_disk(
    start_on: StartHost, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_on()
    alice = host.caller("system_admin")
    ids = {(await alice.run(f"echo {number}"))["JobID"] for number in range(5)}
    assert len(await alice.results()) == 5
    index = host.base_dir / "results.index.sqlite3"
    before = index.stat().st_ino
    disk.fill()
    for _ in range(5):
        assert {record["JobID"] for record in await alice.results()} == ids
        assert (await alice.request("GET", "/results?q=echo")).status == 200
    assert (await alice.request("DELETE", f"/jobs/results?jobId={ids.pop()}")).status == 200
    disk.clear()
    assert {record["JobID"] for record in await alice.results()} == ids
    assert index.stat().st_ino == before
    assert not [text for text in said(caplog) if "anew" in text]


async def test_a_disk_that_turns_read_only_refuses_with_a_sentence(
    start_on: StartHost, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_on()
    alice = host.caller("system_admin")
    done = await alice.run("echo hello; echo again")
    await alice.results()  # so that the index is written
    disk.turn_read_only()
    try:
        for path, body in (("/jobs/submit", JOB), ("/templates", TEMPLATE), ("/schedules", SCHEDULE)):
            answer = await alice.request("POST", path, json=body)
            assert (answer.status, answer.body["code"]) == (503, "storage_unavailable"), answer.body
            assert int(answer.headers["Retry-After"]) > 0
        answer = await alice.request("DELETE", f"/jobs/results?jobId={done['JobID']}")
        assert (answer.status, answer.body["code"]) == (503, "storage_unavailable"), answer.body
        assert [record["JobID"] for record in await alice.results()] == [done["JobID"]]
        assert len(said(caplog)) == 1, said(caplog)
        assert "read-only" in said(caplog)[0]
    finally:
        disk.turn_writable()
    await is_over(caplog)
    assert (await alice.run("echo hello; echo again"))["Output"] == "hello\nagain\n"


async def test_a_disk_that_fails_refuses_with_a_sentence_and_loses_no_verdict(tmp_path: Path) -> None:
    """With strace, which has the kernel answer EIO to whatever makes files durable."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log, data_dir, gate = tmp_path / "log", tmp_path / "data", Gate(tmp_path / "gate")
    data_dir.mkdir(mode=0o700)
    key = new_key(data_dir)
    async with ClientSession() as session:
        with log.open("wb") as file, running(data_dir, log=file) as host:
            alice = caller_of(host, key, session)
            job_id = await alice.submit(f"{gate.shell}; echo done")
            await gate.reached()
            async with failing(host.pid):
                answer = await alice.request("POST", "/jobs/submit", json=JOB)
                assert (answer.status, answer.body["code"]) == (503, "storage_unavailable"), answer.body
                assert "disk fails" in answer.body["error"]
                gate.open()
                answer = await alice.request("POST", "/templates", json=TEMPLATE)
                assert (answer.status, answer.body["code"]) == (503, "storage_unavailable"), answer.body
            result = await alice.result(job_id)
            assert (result["Status"], result["Output"]) == ("Succeeded", "done\n")
            assert (await alice.run("echo hello; echo again"))["Output"] == "hello\nagain\n"
            await until(lambda: "again, after" in log.read_text(), "the end of it in the log")
            host.end(signal.SIGTERM)
    # A call that strace is in the middle of when it lets go is one that the kernel does not know.
    assert ("Traceback" in log.read_text()) is ("Function not implemented" in log.read_text())
    assert log.read_text().count("(Input/output error)") == log.read_text().count("again, after")


async def test_what_a_failing_disk_had_refused_does_not_run_later(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    data_dir, ran = tmp_path / "data", tmp_path / "ran"
    data_dir.mkdir(mode=0o700)
    key = new_key(data_dir)
    kinds: list[dict[str, Any]] = [
        {"delaySeconds": 0.1},
        {"concurrencyKey": "one"},
        {"executionMode": "MainLoop"},
    ]
    async with ClientSession() as session:
        with running(data_dir) as host:
            alice = caller_of(host, key, session)
            async with failing(host.pid):
                for kind in ({}, *kinds):
                    job = {**JOB, "command": f"echo {len(kind)} >> {ran}", **kind}
                    answer = await alice.request("POST", "/jobs/submit", json=job)
                    assert (answer.status, answer.body["code"]) == (503, "storage_unavailable"), answer.body
            assert list(data_dir.glob("apps/*/JobSubmission/*/*.json")) == []
            assert list(data_dir.glob("apps/*/JobOutput/*.json")) == []
            await alice.run("true", concurrencyKey="one")
            assert len(await alice.results()) == 1
    assert not ran.exists()


async def test_a_job_that_a_failing_disk_kept_from_being_picked_up_runs_afterwards(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log, data_dir = tmp_path / "log", tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    key = new_key(data_dir)
    async with ClientSession() as session:
        with log.open("wb") as file, running(data_dir, log=file) as host:
            alice = caller_of(host, key, session)
            job_id = await alice.submit("echo hello", delaySeconds=2)
            async with failing(host.pid):
                await until(lambda: "(Input/output error)" in log.read_text(), "the failure in the log")
            assert (await alice.result(job_id))["Output"] == "hello\n"


def is_traced(pid: int) -> bool:
    """Whether each of the process's threads is; one that ends meanwhile will be looked at no more."""
    try:
        return all(
            "TracerPid:\t0" not in (each / "status").read_text()
            for each in Path(f"/proc/{pid}/task").iterdir()
        )
    except (FileNotFoundError, ProcessLookupError):
        return False


@asynccontextmanager
async def failing(pid: int) -> AsyncIterator[None]:
    """As long as it lasts, the process cannot make anything durable."""
    calls = "fsync,fdatasync,pwritev2"
    tracer = await asyncio.create_subprocess_exec(
        "strace", "-f", "-q", "-p", str(pid), "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO",
        "-o", "/dev/null", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await until(lambda: tracer.returncode is not None or is_traced(pid), "strace following the host")
        if tracer.returncode is not None:
            assert tracer.stderr is not None
            pytest.skip(f"strace cannot follow: {(await tracer.stderr.read()).decode()}")
        yield
    finally:
        if tracer.returncode is None:
            tracer.send_signal(signal.SIGINT)
        await tracer.wait()


def test_an_output_that_the_disk_never_takes_says_what_is_missing(disk: Disk) -> None:
    disk.fill()
    log = OutputLog(disk.path / "log", keep=1000, is_new=True)
    log.append(b"a" * 2000 + b"z" * 3000)
    with pytest.raises(OSError, match="No space left"):
        log.output()
    text, is_truncated = log.output_without_disk("No space left on device")
    assert is_truncated
    assert text.startswith("a" * 500 + "\n[... 4000 bytes of output left out")
    assert "No space left on device" in text
    assert text.endswith("z" * 500)
