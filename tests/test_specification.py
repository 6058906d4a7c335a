"""The specification row by row, over HTTP: its coverage list, its two role tables, its shapes."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from .conftest import Caller, Host, is_alive
from .folders import paths_below
from .gate import PATIENCE_SECONDS, Gate, until
from .processes import printed_by

StartHost = Callable[..., Awaitable[Host]]

MODES = ("MainLoop", "Runspace", "BackgroundJob")
ELEVATED = ("debug", "task_manager", "system_admin", "site_admin")
EVERYBODY = (*ELEVATED, "authenticated", "viewer", "Debug", "")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SUBMISSION_FIELDS = [
    "JobID",
    "UserID",
    "SessionID",
    "JobName",
    "Command",
    "Description",
    "ExecutionMode",
    "Roles",
    "SubmittedAt",
    "Status",
]
RESULT_FIELDS = [
    "JobID",
    "UserID",
    "SessionID",
    "JobName",
    "Command",
    "Description",
    "ExecutionMode",
    "DateStarted",
    "DateCompleted",
    "Runtime",
    "Output",
    "Success",
]


def roles(role: str) -> tuple[str, ...]:
    """As given to a caller: the empty text stands for somebody with no role at all."""
    return (role,) if role else ()


def body(mode: str, **fields: Any) -> dict[str, Any]:
    return {"jobName": "MyTestJob", "command": "echo Hello World", "executionMode": mode, **fields}


def files(folder: Path) -> list[str]:
    """The visible files below `folder`, as paths relative to it."""
    return sorted(
        str(path.relative_to(folder))
        for path in paths_below(folder)
        if path.is_file() and not path.name.startswith(".")
    )


# --- "Job submission with all execution modes"


@pytest.mark.parametrize("mode", MODES)
async def test_a_submission_is_answered_in_the_shape_of_the_specification(host: Host, mode: str) -> None:
    alice = host.caller("debug")

    answer = await alice.request("POST", "/jobs/submit", json=body(mode, description="A test"))

    assert answer.status == 200
    job_id = answer.body["jobId"]
    assert str(UUID(job_id)) == job_id
    assert list(answer.body.items()) == [
        ("success", True),
        ("jobId", job_id),
        ("message", "Job submitted successfully"),
        ("executionMode", mode),
    ]
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (await alice.result(job_id))["ExecutionMode"] == mode


# --- "Role-based access control validation": table "Execution Mode Permissions"


@pytest.mark.parametrize("role", EVERYBODY)
@pytest.mark.parametrize("mode", MODES)
async def test_a_mode_is_for_the_roles_of_its_row(start_host: StartHost, mode: str, role: str) -> None:
    host = await start_host(max_parallel_runspace=1)
    caller = host.caller(*roles(role))
    allowed = ("debug",) if mode == "MainLoop" else ELEVATED

    answer = await caller.request("POST", "/jobs/submit", json=body(mode))

    if role in allowed:
        assert answer.status == 200
        assert (await caller.result(answer.body["jobId"]))["Success"] is True
        return
    assert answer.status == 403
    assert answer.body["code"] == "forbidden"
    if mode == "MainLoop":
        assert answer.body["error"] == "MainLoop execution mode requires 'debug' role"
    else:
        assert answer.body["error"].startswith(f"{mode} execution mode requires elevated roles")
    assert not files(host.base_dir / "JobSubmission")


# --- "Role-based access control validation": table "API Endpoint Permissions"


@pytest.mark.parametrize("role", EVERYBODY)
async def test_submitting_is_for_elevated_roles_and_results_for_everybody_signed_in(
    start_host: StartHost, role: str
) -> None:
    host = await start_host(max_parallel_runspace=1)
    caller = await host.signed_in(*roles(role))

    submitted = await caller.request("POST", "/jobs/submit", json=body("BackgroundJob"))
    listed = await caller.request("GET", "/jobs/results")
    deleted = await caller.request("DELETE", f"/jobs/results?jobId={UUID(int=1)}")

    assert submitted.status == (200 if role in ELEVATED else 403)
    assert listed.status == 200
    assert deleted.status == 404, "allowed, but there is no such result"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/jobs/submit"), ("GET", "/jobs/results"), ("DELETE", "/jobs/results")]
)
async def test_nobody_gets_anywhere_without_proof_of_who_they_are(host: Host, method: str, path: str) -> None:
    answer = await host.stranger().request(method, path, json=body("BackgroundJob"))

    assert answer.status == 401
    assert answer.body["code"] == "not_authenticated"


# --- "MainLoop execution with timing"


async def test_main_loop_results_say_when_and_how_long(host: Host) -> None:
    result = await host.caller("debug").run(
        "import asyncio; await asyncio.sleep(0.2); print('done')", "MainLoop", interpreter="python"
    )

    assert result["Output"] == "done\n"
    assert isinstance(result["Runtime"], float)
    assert result["Runtime"] >= 0.2
    assert DATE.fullmatch(result["DateStarted"])
    assert DATE.fullmatch(result["DateCompleted"])
    assert result["DateStarted"] < result["DateCompleted"]


async def test_main_loop_python_runs_in_the_live_server(host: Host) -> None:
    result = await host.caller("debug").run("import os; os.getpid()", "MainLoop", interpreter="python")

    assert result["Output"] == f"{os.getpid()}\n"


async def test_main_loop_blocks_the_start_of_other_jobs_until_it_has_ended(
    host: Host, tmp_path: Path
) -> None:
    gate, other = Gate(tmp_path / "gate"), Gate(tmp_path / "other")
    other.open()
    alice = host.caller("debug")
    first = await alice.submit(gate.shell, "MainLoop")
    await gate.reached()

    second = await alice.submit(other.shell)
    await asyncio.sleep(2 * host.config.poll_interval)
    assert not other.pids, "the second job has to wait"
    gate.open()

    results = [await alice.result(job_id) for job_id in (first, second)]
    assert results[0]["DateCompleted"] <= results[1]["DateStarted"]


# --- "Runspace execution (async)" and "Background job execution"


@pytest.mark.parametrize("mode", ["Runspace", "BackgroundJob"])
async def test_the_other_modes_do_not_block(start_host: StartHost, tmp_path: Path, mode: str) -> None:
    host = await start_host(max_parallel_runspace=2)
    gate = Gate(tmp_path / "gate")
    alice = host.caller("debug")
    jobs = [await alice.submit(gate.python, mode, interpreter="python") for _ in range(2)]
    await gate.reached(2)

    assert await alice.results() == [], "both run, and the server still answers"
    assert len(set(gate.pids)) == 2
    assert os.getpid() not in gate.pids, "not in the server's own process"
    assert (await alice.run("echo between", "MainLoop"))["Output"] == "between\n"
    gate.open()

    assert [(await alice.result(job))["Success"] for job in jobs] == [True, True]


@pytest.mark.usefixtures("warm_workers")
async def test_runspaces_are_warm_and_share_nothing(start_host: StartHost) -> None:
    host = await start_host(max_parallel_runspace=1)
    alice = host.caller("task_manager")
    first = await alice.run("secret = 1; import os; os.getpid()", "Runspace", interpreter="python")
    second = await alice.run("import os; os.getpid()", "Runspace", interpreter="python")
    third = await alice.run("secret", "Runspace", interpreter="python")

    assert first["Output"] == second["Output"], "the same warm process"
    assert "[ERROR] name 'secret' is not defined" in third["Output"]


async def test_a_background_job_is_a_process_of_its_own(host: Host) -> None:
    result = await host.caller("task_manager").run(
        "import os; os.getpid() == os.getsid(0) == os.getpgid(0)", interpreter="python"
    )

    assert result["Output"] == "True\n"


# --- "Error capture and reporting"


@pytest.mark.parametrize("mode", MODES)
async def test_python_errors_are_marked_and_followed_by_their_trace(host: Host, mode: str) -> None:
    result = await host.caller("debug").run(
        "print('before')\ndef divide():\n    return 1 / 0\ndivide()", mode, interpreter="python"
    )

    lines = result["Output"].splitlines()
    assert lines[:3] == ["before", "[ERROR] division by zero", "Traceback (most recent call last):"]
    assert "return 1 / 0" in result["Output"]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert (result["Success"], result["Status"], result["ExitCode"]) == (False, "Failed", 1)


@pytest.mark.parametrize("mode", MODES)
async def test_shell_errors_are_captured_in_the_order_in_which_they_were_written(
    host: Host, mode: str
) -> None:
    result = await host.caller("debug").run("echo one; echo two >&2; echo three; exit 7", mode)

    assert result["Output"] == "one\ntwo\nthree\n[ERROR] The command exited with code 7.\n"
    assert (result["Success"], result["Status"], result["ExitCode"]) == (False, "Failed", 7)


# --- "Result retrieval and deletion"


async def test_results_come_in_the_shape_of_the_specification(host: Host) -> None:
    alice = await host.signed_in("debug")
    job_id = await alice.submit("echo Hello World", "Runspace", description="Say hello", jobName="Hello")
    result = await alice.result(job_id)

    answer = await alice.request("GET", "/jobs/results")

    assert list(answer.body) == ["success", "count", "results"]
    assert answer.body == {"success": True, "count": 1, "results": [result]}
    assert [name for name in result if name in RESULT_FIELDS] == RESULT_FIELDS
    assert set(result) >= {*RESULT_FIELDS, "Interpreter", "Status", "ExitCode", "OutputTruncated"}
    expected = {
        "JobID": job_id,
        "UserID": "alice",
        "JobName": "Hello",
        "Command": "echo Hello World",
        "Description": "Say hello",
        "ExecutionMode": "Runspace",
        "Output": "Hello World\n",
        "Success": True,
        "Interpreter": "shell",
        "Status": "Succeeded",
        "ExitCode": 0,
        "OutputTruncated": False,
    }
    assert {name: result[name] for name in expected} == expected
    assert str(UUID(result["SessionID"])) == result["SessionID"]
    assert DATE.fullmatch(result["DateStarted"])
    assert DATE.fullmatch(result["DateCompleted"])
    assert isinstance(result["Runtime"], float)


async def test_results_are_ordered_by_most_recent(host: Host) -> None:
    alice = host.caller("debug")
    jobs = [(await alice.run(f"echo {number}"))["JobID"] for number in range(5)]

    assert [record["JobID"] for record in await alice.results()] == jobs[::-1]
    assert [record["JobID"] for record in await alice.results(2)] == [jobs[4], jobs[3]]


async def test_a_hundred_results_are_shown_unless_asked_otherwise(
    start_host: StartHost, tmp_path: Path
) -> None:
    host = await start_host()
    alice = host.caller("debug")
    template = (await alice.run("true"))["JobID"]
    results = host.base_dir / "JobResults"
    record = json.loads((results / f"{template}.json").read_text())
    for number in range(100):
        record["JobID"] = str(UUID(int=number))
        (results / f"{record['JobID']}.json").write_text(json.dumps(record))

    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(await alice.results(1000)) < 101:
            await asyncio.sleep(0.05)
    by_default = await alice.request("GET", "/jobs/results")

    assert by_default.body["count"] == len(by_default.body["results"]) == 100
    assert len(await alice.results(1000)) == 101


async def test_everybody_sees_their_own_results_only(host: Host) -> None:
    alice, bob = host.caller("debug"), host.caller("debug", user_id="bob")
    mine = await alice.run("echo mine")

    assert await bob.results() == []
    assert await alice.results() == [mine]


async def test_a_result_is_deleted_with_its_submission(host: Host) -> None:
    alice = host.caller("debug")
    kept, gone = await alice.run("echo kept"), await alice.run("echo gone")

    answer = await alice.request("DELETE", f"/jobs/results?jobId={gone['JobID']}")

    assert answer.status == 200
    assert list(answer.body.items()) == [("success", True), ("message", "Job result deleted successfully")]
    assert await alice.results() == [kept]
    assert files(host.base_dir / "JobResults") == [f"{kept['JobID']}.json"]
    assert [kept["JobID"] in name for name in files(host.base_dir / "JobOutput")] == [True]
    again = await alice.request("DELETE", f"/jobs/results?jobId={gone['JobID']}")
    assert again.status == 404


# --- "Integration test with file system processing"


async def test_a_job_passes_through_the_three_folders(start_host: StartHost, tmp_path: Path) -> None:
    host = await start_host(max_parallel_background=1)
    gate = Gate(tmp_path / "gate")
    alice = await host.signed_in("task_manager", "debug")
    await alice.submit(gate.shell)
    await gate.reached()
    submissions, output = host.base_dir / "JobSubmission", host.base_dir / "JobOutput"
    results = host.base_dir / "JobResults"

    job_id = await alice.submit("echo done", jobName="MyJob", description="Waits for its turn")

    (name,) = files(submissions)
    record = json.loads((submissions / name).read_text())
    assert name == f"alice/{record['SessionID']}_MyJob_{job_id}.json"
    assert [field for field in record if field in SUBMISSION_FIELDS] == SUBMISSION_FIELDS
    submitted_at = record["SubmittedAt"]
    assert DATE.fullmatch(submitted_at)
    assert {field: record[field] for field in SUBMISSION_FIELDS} == {
        "JobID": job_id,
        "UserID": "alice",
        "SessionID": str(UUID(record["SessionID"])),
        "JobName": "MyJob",
        "Command": "echo done",
        "Description": "Waits for its turn",
        "ExecutionMode": "BackgroundJob",
        "Roles": ["debug", "task_manager"],
        "SubmittedAt": submitted_at,
        "Status": "Pending",
    }
    gate.open()
    result = await alice.result(job_id)

    assert not files(submissions)
    assert json.loads((output / Path(name).name).read_text()) == record
    assert json.loads((results / f"{job_id}.json").read_text()) == result
    assert submitted_at <= result["DateStarted"]


async def test_the_files_are_for_the_server_s_own_user_only(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host(max_output_bytes=1024)
    alice = host.caller("debug")
    _, gone = [(await alice.run("seq 5000"))["JobID"] for _ in range(2)]
    assert (await alice.request("DELETE", f"/jobs/results?jobId={gone}")).status == 200
    running = await alice.submit("echo secret; sleep 60", "BackgroundJob")
    while not (await alice.request("GET", f"/jobs/{running}/output")).body:
        await asyncio.sleep(0.02)

    names = {path.name for path in paths_below(host.base_dir)}
    assert {"output.000000000", ".deleted"} <= names

    for path in paths_below(host.base_dir):
        with suppress(FileNotFoundError):  # gone meanwhile
            assert path.stat().st_mode & 0o077 == 0, path


# --- "Submit Job" and its friends, as the specification's curl lines have them


async def test_the_flow_of_the_specification_s_curl_lines(host: Host, tmp_path: Path) -> None:
    alice = host.caller("debug")

    async def curl(*arguments: str) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            "curl", "-s", "-H", alice.session.headers["Authorization"].join(["Authorization: ", ""]),
            *arguments, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, _ = await printed_by(process)
        answer: dict[str, Any] = json.loads(printed)
        return answer

    job = json.dumps(body("MainLoop"))
    submitted = await curl(
        "-X", "POST", f"{host.api}/jobs/submit", "-H", "Content-Type: application/json", "-d", job
    )
    await alice.result(submitted["jobId"])
    listed = await curl(f"{host.api}/jobs/results?maxResults=50")
    deleted = await curl("-X", "DELETE", f"{host.api}/jobs/results?jobId={submitted['jobId']}")

    assert submitted["success"] is listed["success"] is deleted["success"] is True
    assert [record["Output"] for record in listed["results"]] == ["Hello World\n"]
    assert await alice.results() == []


# --- the live scenarios


async def test_an_endless_main_loop_job_is_stopped_and_the_next_request_answered(host: Host) -> None:
    alice = host.caller("debug")

    stuck = await alice.run("print('going')\nwhile True: pass", "MainLoop", interpreter="python")
    next_one = await alice.run("echo next", "MainLoop")

    assert (stuck["Status"], stuck["Success"]) == ("TimedOut", False)
    assert stuck["Output"].startswith("going\n[ERROR] The job blocked the event loop for more than 4 s")
    assert next_one["Output"] == "next\n"


async def test_a_runspace_job_that_kills_its_worker_fails_and_the_next_one_runs(
    start_host: StartHost,
) -> None:
    host = await start_host(max_parallel_runspace=1)
    alice = host.caller("debug")

    crashed = await alice.run(
        "import os; print('going', flush=True); os._exit(3)", "Runspace", interpreter="python"
    )
    next_one = await alice.run("print('next')", "Runspace", interpreter="python")

    assert (crashed["Status"], crashed["Success"], crashed["ExitCode"]) == ("Failed", False, 3)
    assert crashed["Output"].startswith("going\n[ERROR] The worker process exited with code 3")
    assert next_one["Output"] == "next\n"


async def test_a_background_job_leaves_no_process_behind_after_its_timeout(
    host: Host, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    command = f"sleep 1000 & echo $! > {pids}; setsid sleep 1000 & echo $! >> {pids}; sleep 1000"

    result = await host.caller("debug").run(command, timeoutSeconds=4)

    assert (result["Status"], result["Success"]) == ("TimedOut", False)
    left = [int(pid) for pid in pids.read_text().split()]
    assert len(left) == 2
    await until(lambda: not any(is_alive(pid) for pid in left), "the end of the job's processes")


async def test_the_two_ways_of_proving_who_one_is_are_the_same_user(host: Host) -> None:
    with_key = host.caller("debug")
    with_cookie: Caller = await host.signed_in("debug")

    first, second = await with_key.run("echo key"), await with_cookie.run("echo cookie")

    assert await with_key.results() == await with_cookie.results() == [second, first]
