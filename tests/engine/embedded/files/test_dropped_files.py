"""Files that other programs drop: the good ones run, the bad ones are set aside, and the loop goes on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ....conftest import Caller, Host
from ....gate import PATIENCE_SECONDS, Gate, until
from ..drops import Drops

StartHost = Callable[..., Awaitable[Host]]
UNSIGNED_WARNING = "Unsigned submission files are run"


async def rejections(caller: Caller, count: int) -> list[dict[str, Any]]:
    """The caller's rejected jobs, once there are `count` of them."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = [record for record in await caller.results() if record["Status"] == "Rejected"]
            if len(found) >= count:
                return found


async def rejection(caller: Caller) -> dict[str, Any]:
    """The caller's one rejected job."""
    (record,) = await rejections(caller, 1)
    assert (record["Success"], record["ExitCode"], record["Runtime"]) == (False, None, 0.0)
    assert record["Output"].startswith("[ERROR] ")
    return record


async def test_a_file_that_the_host_s_key_signed_is_run_for_its_owner(host: Host) -> None:
    drops, alice = Drops(host), host.caller()
    record = drops.signed(JobName="Nightly")

    drops.put(record)

    result = await alice.result(record["JobID"])
    assert (result["Output"], result["JobName"], result["Success"]) == ("dropped\n", "Nightly", True)
    assert result["Interpreter"] == "shell", "the default, since the file names none"
    assert not drops.waiting()
    assert (host.base_dir / "JobOutput" / f"elsewhere_Nightly_{record['JobID']}.json").exists()


async def test_an_unsigned_file_is_set_aside_with_a_result_that_says_why(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drops, alice = Drops(host), host.caller("debug")

    drops.put(drops.record(Command=f"touch {tmp_path}/ran"))

    result = await rejection(alice)
    assert "not signed" in result["Output"]
    assert not (tmp_path / "ran").exists()
    assert not drops.waiting()
    assert len(list((host.base_dir / "JobOutput").glob("*.json"))) == 1
    assert UNSIGNED_WARNING not in caplog.text
    assert (await alice.run("echo after"))["Success"] is True


async def test_a_switch_that_warns_lets_unsigned_files_run(
    start_host: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_host(allow_unsigned_submissions=True)
    drops, alice = Drops(host), host.caller()
    record = drops.record()

    drops.put(record)

    assert (await alice.result(record["JobID"]))["Output"] == "dropped\n"
    assert UNSIGNED_WARNING in caplog.text


async def test_even_then_a_wrong_signature_and_missing_rights_are_refused(start_host: StartHost) -> None:
    host = await start_host(allow_unsigned_submissions=True)
    drops = Drops(host)
    drops.put(drops.record(Signature="hmac-sha256:00"), user="alice")
    drops.put(drops.record(UserID="bob", Roles=["viewer"]), user="bob")
    drops.put(drops.record(UserID="carol", Roles=["task_manager"], ExecutionMode="MainLoop"), user="carol")

    alice, bob, carol = (host.caller(user_id=user) for user in ("alice", "bob", "carol"))
    assert "changed after it was signed" in (await rejection(alice))["Output"]
    assert "BackgroundJob execution mode requires elevated roles" in (await rejection(bob))["Output"]
    assert "MainLoop execution mode requires 'debug' role" in (await rejection(carol))["Output"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "does not hold a JSON object"),
        (b"{}", "JobID is required"),
        (b" " * 20_000_000, "larger than"),
        ({"JobID": "../../etc/passwd"}, "JobID"),
        ({"ExecutionMode": "Turbo"}, "ExecutionMode"),
        ({"ExecutionMode": None}, "ExecutionMode"),
        ({"Command": ""}, "Command must not be empty"),
        ({"Command": "echo \0"}, "Command"),
        ({"Command": "echo \ud800"}, "Command"),
        ({"Command": "x" * 300_000}, "The command has 300000 bytes"),
        ({"Command": ["rm"]}, "Command"),
        ({"JobName": "x" * 101}, "jobName must have at most 100 characters"),
        ({"JobName": "\ud800"}, "JobName"),
        ({"Description": "x" * 2001}, "description must have at most 2000 characters"),
        ({"SubmittedAt": "yesterday"}, "SubmittedAt"),
        ({"Roles": []}, "BackgroundJob execution mode requires elevated roles"),
        ({"Roles": ["viewer"]}, "BackgroundJob execution mode requires elevated roles"),
        ({"Roles": "debug"}, "Roles"),
        (
            {"ExecutionMode": "MainLoop", "Roles": ["task_manager"]},
            "MainLoop execution mode requires 'debug'",
        ),
        ({"TimeoutSeconds": 1e9}, "timeoutSeconds must be at most 86400"),
        ({"TimeoutSeconds": float("nan")}, "TimeoutSeconds"),
        ({"TimeoutSeconds": -1}, "TimeoutSeconds"),
        ({"Interpreter": "cobol"}, "Interpreter"),
        ({"UserID": "root"}, "UserID"),
        ({"UserID": "../../etc"}, "UserID"),
        ({"SubmittedWith": "api_key:none"}, "API key that submitted this job was disabled or deleted"),
        ({"Signature": 1}, "changed after it was signed"),
        ({"Signature": "hmac-sha256:é"}, "changed after it was signed"),
    ],
)
async def test_a_bad_file_becomes_a_rejected_result_and_costs_nothing_else(
    host: Host, content: bytes | dict[str, Any], reason: str
) -> None:
    drops, alice = Drops(host), host.caller("debug")
    if isinstance(content, dict):
        content = drops.signed(**content) | {k: v for k, v in content.items() if k == "Signature"}
    before = await alice.submit("echo before")

    bad = drops.put(content)

    result = await rejection(alice)
    assert reason in result["Output"]
    assert not bad.exists()
    assert [path for path in (host.base_dir / "JobOutput").iterdir() if result["JobID"] in path.name] or (
        isinstance(content, dict) and result["JobID"] == content["JobID"]
    )
    assert (await alice.result(before))["Output"] == "before\n"
    assert (await alice.run("echo after"))["Output"] == "after\n"


@pytest.mark.parametrize("user", ["ü", "a b", os.fsdecode(b"\xff\xfe"), "..%2F", "%", "~", "x" * 255])
async def test_a_strangely_named_folder_does_not_trouble_anybody(host: Host, user: str) -> None:
    drops, alice = Drops(host), host.caller("debug")

    drops.put(drops.signed(UserID=user.encode("utf-8", "replace").decode()), user=user)

    results = host.base_dir / "JobResults"
    await until(lambda: list(results.glob("*.json")), "a result")
    (result,) = (json.loads(path.read_text()) for path in results.glob("*.json"))
    assert result["Status"] == "Rejected"
    assert "UserID" in result["Output"]
    assert not drops.waiting()
    assert (await alice.run("echo after"))["Success"] is True


async def test_hundreds_of_bad_files_hold_up_nobody(host: Host) -> None:
    drops, alice = Drops(host), host.caller("debug")
    for number in range(300):
        drops.put(b"{", f"{number}.json", user="mallory")
    good = drops.signed()
    drops.put(good)

    assert (await alice.result(good["JobID"]))["Success"] is True
    assert (await alice.run("echo between"))["Success"] is True
    mallory = host.caller(user_id="mallory")
    assert len(await rejections(mallory, 300)) == 300
    assert not drops.waiting()


async def test_links_pipes_and_hidden_files_are_traps_that_do_not_spring(host: Host, tmp_path: Path) -> None:
    drops, alice = Drops(host), host.caller("debug")
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    (drops.folder() / "link.json").symlink_to(secret)
    os.utime(drops.folder() / "link.json", (1, 1), follow_symlinks=False)
    os.mkfifo(drops.folder("bob") / "pipe.json")
    os.utime(drops.folder("bob") / "pipe.json", (1, 1))
    (drops.folder() / ".hidden.json").write_text(json.dumps(drops.signed()))

    refused = await rejection(alice)
    await rejection(host.caller(user_id="bob"))
    assert "top secret" not in json.dumps(refused)
    assert secret.read_text() == "top secret"
    assert (drops.folder() / ".hidden.json").exists()
    assert (await alice.run("echo after"))["Success"] is True


@pytest.mark.parametrize(
    "change", [{"Roles": ["debug"], "ExecutionMode": "MainLoop"}, {"Command": "echo evil"}, {"Priority": 9}]
)
async def test_a_file_changed_after_it_was_accepted_does_not_run(
    start_host: StartHost, tmp_path: Path, change: dict[str, Any]
) -> None:
    host = await start_host(max_parallel_background=1)
    drops, alice, gate = Drops(host), host.caller("task_manager"), Gate(tmp_path / "gate")
    await alice.submit(gate.shell)
    await gate.reached()
    victim = await alice.submit("echo good")
    (path,) = drops.waiting()
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    gate.open()

    result = await alice.result(victim)
    assert result["Status"] == "Rejected"
    assert "changed after it was signed" in result["Output"]
    assert "evil\n" not in result["Output"]
    assert (await alice.run("echo after"))["Success"] is True


async def test_a_file_removed_while_it_waited_is_gone_and_costs_nothing(
    start_host: StartHost, tmp_path: Path
) -> None:
    host = await start_host(max_parallel_background=1)
    drops, alice, gate = Drops(host), host.caller("debug"), Gate(tmp_path / "gate")
    await alice.submit(gate.shell)
    await gate.reached()
    removed = await alice.submit("echo removed")
    (path,) = drops.waiting()
    path.unlink()

    gate.open()

    assert (await alice.run("echo after"))["Success"] is True
    assert (await alice.request("GET", f"/jobs/{removed}")).status == 404


async def test_copies_of_one_signed_file_run_once(host: Host, tmp_path: Path) -> None:
    drops, alice, ran = Drops(host), host.caller("debug"), tmp_path / "ran"
    record = drops.signed(Command=f"echo run >> {ran}")
    for number in range(5):
        drops.put(record, f"{number}.json")

    others = await rejections(alice, 4)
    assert (await alice.result(record["JobID"]))["Success"] is True
    assert ran.read_text() == "run\n"
    assert len(others) == 4
    assert all("does not run a second time" in result["Output"] for result in others)


async def test_a_copy_dropped_while_the_job_runs_does_not_take_it_from_its_owner(
    host: Host, tmp_path: Path
) -> None:
    drops, alice, gate = Drops(host), host.caller("debug"), Gate(tmp_path / "gate")
    job_id = await alice.submit(gate.shell)
    await gate.reached()
    (picked_up,) = (host.base_dir / "JobOutput").glob("*.json")
    shutil.copy(picked_up, drops.folder() / "copy.json")
    bait = drops.signed()
    drops.put(bait, "bait.json")
    await alice.result(bait["JobID"])

    assert (await alice.request("GET", f"/jobs/{job_id}")).body["job"]["Status"] == "Running"
    assert (await alice.request("POST", f"/jobs/{job_id}/cancel")).status == 202
    assert (await alice.result(job_id))["Status"] == "Cancelled"
    assert "does not run a second time" in (await rejection(alice))["Output"]


async def test_jobs_go_on_when_the_folder_was_replaced(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    drops, alice = Drops(host), host.caller("debug")
    folder = host.base_dir / "JobSubmission"
    folder.rename(host.base_dir / "aside")
    folder.write_text("in the way")
    await until(folder.is_dir, "making the folder anew")
    assert "it was moved to" in caplog.text

    record = drops.signed()
    drops.put(record)
    assert (await alice.result(record["JobID"]))["Success"] is True
