"""What a function meets in each mode: context, output, values, errors, and how it is ended."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from ..conftest import Host, one_for_all
from ..gate import PATIENCE_SECONDS, until
from ..streams import Stream
from . import running
from .conftest import FunctionCaller, StartHost

MODES = ("Runspace", "BackgroundJob", "MainLoop")
WORKERS = ("Runspace", "BackgroundJob")


in_one_loop = pytest.mark.asyncio(loop_scope="module")
"""Of the tests that share a host: its one worker serves one after the other. `own` has a host alone."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alice(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FunctionCaller]:
    folder = tmp_path_factory.mktemp("running")
    async with one_for_all(folder, functions=running.jobs) as host:
        yield FunctionCaller(host.caller("debug"))


@pytest.fixture
async def own(running_host: Host) -> FunctionCaller:
    return FunctionCaller(running_host.caller("debug"))


def sleeping(mark: str) -> list[int]:
    """The processes that run ``sleep`` with `mark`."""
    found = psutil.process_iter(["pid", "cmdline"])
    return [each.info["pid"] for each in found if mark in (each.info["cmdline"] or [])]


async def started(path: Path) -> None:
    await until(path.exists, "the function starting")


# --- context, output, values


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_a_function_knows_its_job_and_all_it_tells_is_output(alice: FunctionCaller, mode: str) -> None:
    result = await alice.run("tell", mode, text="größe", timeoutSeconds=100)
    assert result["Output"] == (
        "printed größe\nto stderr größe\n[INFO] logged größe\n[WARNING] warned größe\nin a thread größe\n"
    )
    value = result["ReturnValue"]
    assert (value.pop("left") in range(1, 101), value) == (
        True,
        {"id": result["JobID"], "user": "alice", "attempt": 1, "cancelled": False},
    )
    assert (result["Function"], result["Command"]) == ("tell", "tell(text='größe')")


@in_one_loop
@pytest.mark.parametrize("mode", ["BackgroundJob", "MainLoop"])
async def test_two_at_once_never_mix(alice: FunctionCaller, mode: str) -> None:
    await two_do_not_mix(alice, mode)


async def test_nor_do_two_workers(own: FunctionCaller) -> None:
    await two_do_not_mix(own, "Runspace")


async def two_do_not_mix(caller: FunctionCaller, mode: str) -> None:
    texts = [f"number-{n}" for n in range(2)]
    results = await asyncio.gather(*(caller.run("tell", mode, text=text, times=30) for text in texts))
    for text, result in zip(texts, results, strict=True):
        lines = result["Output"].splitlines()
        assert len(lines) == 5 * 30
        assert {line.rpartition(" ")[2] for line in lines} == {text}


async def test_what_the_host_logs_and_prints_meanwhile_is_not_the_jobs(
    own: FunctionCaller, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await own.submit("wait_async", "MainLoop", started=str(tmp_path / "started"))
    await started(tmp_path / "started")
    print("the host's line")
    logging.getLogger("host").warning("the host's warning")
    result = await own.cancel(job_id)
    assert result["Output"].startswith("cleaned up True\n[ERROR] The job was cancelled by alice.")
    assert "the host's line" in capfd.readouterr().out
    assert "the host's warning" in caplog.text


@in_one_loop
@pytest.mark.parametrize("mode", WORKERS)
async def test_what_its_children_print_comes_in_its_place(alice: FunctionCaller, mode: str) -> None:
    result = await alice.run("run_program", mode, text="abc")
    assert result["Output"] == "before\nabc\nabc\nabc\nafter\n"


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_the_application_is_there_in_mainloop_alone(alice: FunctionCaller, mode: str) -> None:
    result = await alice.run("has_app", mode)
    if mode == "MainLoop":
        assert result["ReturnValue"] == "Application"
    else:
        first, *_, last = result["Output"].splitlines()
        assert first == f"[ERROR] {last}"
        assert last.startswith("RuntimeError: job.app is there only in MainLoop")
        assert "aiohttp_jobs/" not in result["Output"]


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_what_is_returned_is_kept_as_json_or_told(alice: FunctionCaller, mode: str) -> None:
    ways = (
        ("table", [{"name": "a", "rows": 1}, {"name": "b", "rows": 2}], ""),
        ("no json", None, "not kept: object is not, or has in it what is not, JSON"),
        ("none", None, ""),
        ("text", "größe", ""),
        ("false", False, ""),
        ("just", "x" * (64 * 1024 - 2), ""),
        ("large", None, "not kept: it takes 70,002 bytes as JSON, and at most 65,536 are kept."),
        ("nan", None, "not kept: it has NaN, which is no number in JSON."),
    )
    for kind, value, said in ways[: 2 if mode == "BackgroundJob" else None]:  # each of which starts a Python
        result = await alice.run("value_async", mode, kind=kind)
        assert (result["Status"], result["ReturnValue"]) == ("Succeeded", value), kind
        assert said in result["Output"], kind
        assert result["Output"].count("\n") == bool(said), kind


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_secrets_are_masked_in_output_and_value(alice: FunctionCaller, mode: str) -> None:
    result = await alice.run("keep_secret", mode, password="hunter2", number="1234")
    assert result["Output"] == "the password is ********\n"
    assert result["ReturnValue"] == {"password": "********", "n": "********"}
    assert result["FunctionValues"] == {}
    assert "hunter2" not in str(result)


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_a_lot_of_output_is_all_there(alice: FunctionCaller, mode: str) -> None:
    result = await alice.run("flood", mode, lines=50_000)
    assert (result["Status"], result["OutputSize"], result["ReturnValue"]) == ("Succeeded", 5_000_000, 50_000)


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_progress_is_shown_some_times_a_second_and_the_last_always(
    alice: FunctionCaller, tmp_path: Path, mode: str
) -> None:
    gate = tmp_path / "open"
    job_id = await alice.submit("count", mode, steps=300, opened=str(gate))
    stream = Stream(alice.caller, job_id)
    reading = asyncio.create_task(stream.read())

    def told() -> list[dict[str, object]]:
        return [data for name, _, data in stream.events if name == "progress"]

    await until(lambda: told() and told()[-1]["share"] == 1.0, "the last progress")
    assert told()[-1] == {"share": 1.0, "text": "step 300"}
    gate.touch()
    await asyncio.wait_for(reading, PATIENCE_SECONDS)
    result = await alice.caller.result(job_id)
    sequences = re.findall(r"\x1b\]9;4;[^\x07]*\x07", result["Output"])
    assert "".join(sequences) == result["Output"]
    assert sequences[-1] == "\x1b]9;4;3;0;nearly%20done\x07"
    assert len(sequences) <= result["Runtime"] * 10 + 3


# --- errors


@in_one_loop
@pytest.mark.parametrize("name", ["fail", "fail_async"])
@pytest.mark.parametrize("mode", MODES)
async def test_an_exception_is_told_without_frames_of_ours(
    alice: FunctionCaller, mode: str, name: str
) -> None:
    if (name, mode) == ("fail", "MainLoop"):
        return
    result = await alice.run(name, mode)
    assert (result["Status"], result["ExitCode"], result["ReturnValue"]) == ("Failed", 1, None)
    output = result["Output"]
    assert output.startswith("[ERROR] tests.functions.running.OwnError: this one\n")
    assert output.endswith("tests.functions.running.OwnError: this one\nwith two lines\n")
    assert "ValueError: its cause\n\nThe above exception was the direct cause" in output
    assert re.findall('File "([^"]+)", line [0-9]+, in (\\w+)', output) == [
        (running.__file__, name), (running.__file__, "raising"), (running.__file__, "raising"),
    ]  # fmt: skip


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_an_exit_is_as_that_of_a_command(alice: FunctionCaller, mode: str) -> None:
    ways: list[tuple[dict[str, Any], str, int, str]] = [
        ({"code": 3}, "Failed", 3, "[ERROR] The function exited with code 3.\n"),
        ({"text": "sorry"}, "Failed", 1, "sorry\n"),
        ({}, "Succeeded", 0, ""),
        ({"code": 0}, "Succeeded", 0, ""),
    ]
    for values, status, code, output in ways[: 2 if mode == "BackgroundJob" else None]:
        result = await alice.run("exit_with", mode, **values)
        assert (result["Status"], result["ExitCode"], result["Output"]) == (status, code, output)


@in_one_loop
@pytest.mark.parametrize("mode", WORKERS)
async def test_a_process_that_dies_fails_its_job_and_no_other(alice: FunctionCaller, mode: str) -> None:
    for how, code in (("exit", 7), ("kill", -9)):
        result = await alice.run("die", mode, how=how)
        assert (result["Status"], result["ExitCode"]) == ("Failed", code)
        assert result["Output"].startswith("dying\n[ERROR] ")
    assert await alice.value("surroundings", mode)


# --- being ended


@in_one_loop
@pytest.mark.parametrize("mode", WORKERS)
async def test_a_function_that_looks_at_cancelled_can_clean_up(
    alice: FunctionCaller, tmp_path: Path, mode: str
) -> None:
    job_id = await alice.submit("wait_for_cancel", mode, started=str(tmp_path / "started"))
    await started(tmp_path / "started")
    result = await alice.cancel(job_id)
    assert result["Status"] == "Cancelled"
    assert result["Output"] == "cleaned up\n[ERROR] The job was cancelled by alice.\n"


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_a_coroutine_is_cancelled(alice: FunctionCaller, tmp_path: Path, mode: str) -> None:
    job_id = await alice.submit("wait_async", mode, started=str(tmp_path / "started"))
    await started(tmp_path / "started")
    result = await alice.cancel(job_id)
    assert result["Status"] == "Cancelled"
    assert result["Output"] == "cleaned up True\n[ERROR] The job was cancelled by alice.\n"


@in_one_loop
@pytest.mark.parametrize("mode", MODES)
async def test_time_is_up_for_one_as_for_a_command(alice: FunctionCaller, tmp_path: Path, mode: str) -> None:
    result = await alice.run("wait_async", mode, started=str(tmp_path / "started"), timeoutSeconds=1.5)
    assert result["Status"] == "TimedOut"
    assert result["Output"].endswith("[ERROR] The job was stopped: it ran longer than its limit of 1.5 s.\n")


@in_one_loop
@pytest.mark.parametrize("name", ["never_listen", "never_listen_async"])
@pytest.mark.parametrize("mode", WORKERS)
async def test_one_that_does_not_listen_is_ended_all_the_same(
    alice: FunctionCaller, tmp_path: Path, mode: str, name: str
) -> None:
    await is_ended(alice, tmp_path, mode, name)


async def test_so_is_one_in_the_event_loop(own: FunctionCaller, tmp_path: Path) -> None:
    await is_ended(own, tmp_path, "MainLoop", "never_listen_async")


async def is_ended(caller: FunctionCaller, folder: Path, mode: str, name: str) -> None:
    job_id = await caller.submit(name, mode, started=str(folder / "started"))
    await started(folder / "started")
    result = await caller.cancel(job_id)
    assert (result["Status"], result["ExitCode"]) == ("Cancelled", None)
    assert await caller.value("surroundings", mode)


@in_one_loop
async def test_one_that_blocks_the_loop_is_stopped_in_the_words_for_commands(alice: FunctionCaller) -> None:
    result = await alice.run("block", "MainLoop", seconds=30)
    assert result["Status"] == "TimedOut"
    assert result["Output"].startswith(
        "[ERROR] The job blocked the event loop for more than 4 s and was stopped.\nTraceback "
    )
    assert re.findall('File "([^"]+)"', result["Output"]) == [running.__file__]
    assert await alice.value("has_app", "MainLoop") == "Application"


@in_one_loop
async def test_and_so_is_one_when_another_that_ran_before_it_has_ended(
    alice: FunctionCaller, tmp_path: Path
) -> None:
    marks = [tmp_path / name for name in ("first", "second", "open")]
    first = await alice.submit("wait_async", "MainLoop", started=str(marks[0]))
    await started(marks[0])
    second = await alice.submit("block_later", "MainLoop", started=str(marks[1]), opened=str(marks[2]))
    await started(marks[1])
    await alice.cancel(first)
    marks[2].touch()
    result = await alice.caller.result(second)
    assert result["Output"].startswith("[ERROR] The job blocked the event loop for more than 4 s")
    assert result["Runtime"] < 20


@in_one_loop
@pytest.mark.parametrize("mode", WORKERS)
async def test_in_a_process_of_its_own_it_may_block_as_it_likes(alice: FunctionCaller, mode: str) -> None:
    assert (await alice.run("block", mode, seconds=2.5))["Status"] == "Succeeded"


# --- what is left behind


@in_one_loop
@pytest.mark.parametrize("what", ["child", "daemon", "thread"])
@pytest.mark.parametrize("mode", WORKERS)
async def test_what_one_leaves_ends_with_its_process_and_is_not_the_next_ones(
    alice: FunctionCaller, mode: str, what: str
) -> None:
    mark = f"9{os.getpid()}.{WORKERS.index(mode)}"
    pid = await alice.value("leave", mode, what=what, mark=mark)
    after = await alice.value("surroundings", mode)
    assert after["pid"] != pid
    if what == "child":
        assert sleeping(mark) == []
    for left in sleeping(mark):
        psutil.Process(left).kill()


@in_one_loop
@pytest.mark.parametrize("mode", WORKERS)
async def test_a_forked_child_that_comes_back_answers_for_nobody(alice: FunctionCaller, mode: str) -> None:
    for _ in range(3):
        result = await alice.run("leave", mode, what="fork", mark="")
        assert (result["Status"], result["Output"]) == ("Succeeded", "")
        assert result["ReturnValue"] > 0
        assert await alice.value("value", mode, kind="text") == "größe"


@in_one_loop
async def test_a_thread_that_is_about_to_end_is_waited_for(alice: FunctionCaller) -> None:
    pid = await alice.value("leave", "Runspace", what="short thread", mark="")
    assert (await alice.value("surroundings"))["pid"] == pid


@in_one_loop
@pytest.mark.parametrize("what", ["task", "thread"])
async def test_what_a_coroutine_leaves_in_the_loop_ends_with_it(alice: FunctionCaller, what: str) -> None:
    pid = await alice.value("leave_async", "Runspace", what=what)
    after = await alice.value("surroundings", "Runspace")
    assert (after["pid"], after["tasks"]) == (pid, 1)


@in_one_loop
@pytest.mark.parametrize(
    "what", ["surroundings", "variables of the job", "another variable in place of the job's"]
)
async def test_the_surroundings_are_put_back_for_the_next(alice: FunctionCaller, what: str) -> None:
    before = await alice.value("surroundings", "Runspace")
    assert await alice.value("leave", "Runspace", what=what, mark="x") == before["pid"]
    after = await alice.run("surroundings", "Runspace")
    assert after["ReturnValue"] == {**before, "job": after["JobID"]}


# --- the workers


@pytest.mark.parametrize("mode", WORKERS)
async def test_a_worker_has_the_hosts_environment_the_jobs_variables_and_a_folder(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("ONLY_THE_HOSTS", "seen")
    host = await start_host(functions=running.jobs)
    result = await FunctionCaller(host.caller("debug")).run("surroundings", mode)
    value = result["ReturnValue"]
    shown = {name: value[name] for name in ("folder", "job", "user", "host", "opened")}
    assert shown == {
        "folder": "work", "job": result["JobID"], "user": "alice", "host": "seen", "opened": True,
    }  # fmt: skip


async def test_a_worker_of_one_user_never_serves_another(own: FunctionCaller, bob: FunctionCaller) -> None:
    pids: dict[str, set[int]] = {"alice": set(), "bob": set()}
    for _ in range(3):
        for who, name in ((own, "alice"), (bob, "bob"), (own, "alice")):
            pids[name].add((await who.value("surroundings", "Runspace"))["pid"])
    assert not pids["alice"] & pids["bob"]


async def test_users_take_turns_where_there_is_one_worker(start_host: StartHost) -> None:
    host = await start_host(functions=running.jobs, max_parallel_runspace=1)
    alice, bob = (FunctionCaller(host.caller("debug", user_id=name)) for name in ("alice", "bob"))
    pids = [(await who.value("surroundings", "Runspace"))["pid"] for who in (alice, bob, alice)]
    assert len(set(pids)) == 3
    workers = (await alice.caller.request("GET", "/runspaces")).body["runspaces"]
    assert [each["UserID"] for each in workers if each["Worker"] == pids[2]] == ["alice"]


async def test_functions_never_run_where_commands_do(own: FunctionCaller) -> None:
    pid = (await own.value("surroundings", "Runspace"))["pid"]
    command = "import os, sys; print(os.getpid(), 'tests.functions.running' in sys.modules)"
    result = await own.caller.run(command, "Runspace", interpreter="python")
    assert result["Output"].split()[1] == "False"
    assert result["Output"].split()[0] != str(pid)


@in_one_loop
async def test_many_at_once_all_run(alice: FunctionCaller) -> None:
    results = await asyncio.gather(*(alice.run("nothing", "Runspace") for _ in range(40)))
    assert {result["Status"] for result in results} == {"Succeeded"}
