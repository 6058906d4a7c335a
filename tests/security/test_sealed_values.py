"""The door: secret values of jobs that have ended, for whoever gets at the data folder or at a worker."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

from ..conftest import Caller, Host
from ..engine.embedded.drops import Drops
from ..folders import contents_below
from ..gate import Gate, until
from ..hosts.process import caller_of, running
from ..http.test_templates import create, ended, run

StartHost = Callable[..., Awaitable[Host]]
SECRET = "hunter2-and-more"
MODES = ("MainLoop", "Runspace", "BackgroundJob")
TOKEN = {"name": "token", "type": "secret"}
FERNET = b"gAAAAA"
"""How every text that Fernet makes begins: a version, and a time before the year 2106."""


def sealed_in(base: Path) -> list[str]:
    """The files below `base` that hold something encrypted, or the secret itself."""
    return [
        str(path.relative_to(base))
        for path, content in contents_below(base).items()
        if FERNET in content or SECRET.encode() in content
    ]


async def gone(base: Path) -> None:
    await until(lambda: not sealed_in(base), "that nothing holds the secret any more")


async def template_of(caller: Caller, **fields: Any) -> dict[str, Any]:
    given = {"command": 'test -n "$PARAM_token"', "parameters": [TOKEN]}
    return await create(caller, **{**given, **fields})


@pytest.mark.parametrize("mode", MODES)
async def test_nobody_finds_the_value_of_a_job_that_has_ended(host: Host, mode: str) -> None:
    alice = host.caller("debug")
    template = await template_of(alice, executionMode=mode)
    result = await ended(alice, template, values={"token": SECRET})
    assert result["Success"] is True
    await gone(host.base_dir)
    (kept,) = (host.base_dir / "JobOutput").glob("*.json")
    assert json.loads(kept.read_text())["SealedValues"] == ""


async def test_nor_that_of_one_that_waited(host: Host) -> None:
    alice, root = host.caller("debug"), host.caller("site_admin", user_id="root")
    template = await template_of(alice)
    await root.request("POST", "/queue/pause")
    job_id = (await run(alice, template, values={"token": SECRET})).body["jobId"]
    # Where it waits and nowhere else: what a journal has is not taken out again.
    (waiting,) = sealed_in(host.base_dir)
    assert waiting.startswith("JobSubmission/")
    await root.request("POST", "/queue/resume")
    assert (await alice.result(job_id))["Success"] is True
    await gone(host.base_dir)


async def test_nor_that_of_any_attempt(host: Host) -> None:
    alice = host.caller("debug")
    retry = {"count": 2, "backoffSeconds": 0.01}
    template = await template_of(alice, command='test -n "$PARAM_token" && exit 7', retry=retry)
    result = await ended(alice, template, values={"token": SECRET})
    assert (result["Attempt"], result["ExitCode"]) == (3, 7)
    await gone(host.base_dir)


async def test_nor_that_of_an_attempt_that_another_is_to_follow(host: Host) -> None:
    alice = host.caller("debug")
    template = await template_of(alice, command="exit 7", retry={"count": 1, "backoffSeconds": 3600})
    job_id = (await run(alice, template, values={"token": SECRET})).body["jobId"]
    await until(lambda: list((host.base_dir / "JobOutput").glob("*.result.json")), "the first attempt")
    await until(
        lambda: [name.partition("/")[0] for name in sealed_in(host.base_dir)] == ["JobSubmission"],
        "that only the waiting attempt has the value",
    )
    assert (await alice.request("POST", f"/jobs/{job_id}/cancel")).status in (200, 202)
    await alice.result(job_id)
    await gone(host.base_dir)


async def test_nor_that_of_one_that_was_cancelled_before_it_ran(host: Host) -> None:
    alice, root = host.caller("debug"), host.caller("site_admin", user_id="root")
    template = await template_of(alice)
    await root.request("POST", "/queue/pause")
    job_id = (await run(alice, template, values={"token": SECRET})).body["jobId"]
    assert (await alice.request("POST", f"/jobs/{job_id}/cancel")).status in (200, 202)
    assert (await alice.result(job_id))["Status"] == "Cancelled"
    await gone(host.base_dir)


async def test_nor_that_of_one_that_was_rejected(host: Host) -> None:
    alice, root = host.caller("debug"), host.caller("site_admin", user_id="root")
    template = await template_of(alice)
    await root.request("POST", "/queue/pause")
    changed = (await run(alice, template, values={"token": SECRET})).body["jobId"]
    edited = (await run(alice, template, values={"token": SECRET})).body["jobId"]
    (path,) = (host.base_dir / "JobSubmission").glob(f"*/*_{edited}.json")
    path.write_text(path.read_text().replace('"Priority": 5', '"Priority": 9'))
    assert (await alice.request("DELETE", f"/templates/{template['TemplateID']}")).status == 200
    await root.request("POST", "/queue/resume")
    assert (await alice.result(changed))["Status"] == "Rejected"
    await gone(host.base_dir)


async def test_nor_that_of_one_that_the_end_of_the_host_cut_off(
    start_host: StartHost, tmp_path: Path
) -> None:
    host, gate = await start_host(), Gate(tmp_path / "gate")
    alice = host.caller("debug")
    template = await template_of(alice, command=gate.shell)
    await run(alice, template, values={"token": SECRET})
    await gate.reached()
    await host.stop()
    assert sealed_in(host.base_dir) == []


async def test_nor_that_of_one_whose_host_was_killed(tmp_path: Path) -> None:
    data_dir, gate = tmp_path / "data", Gate(tmp_path / "gate")
    _, key = ApiKeys.in_data_dir(data_dir).create(name="t", user_id="alice", roles=["debug"])
    base = JobsConfig(data_dir=data_dir).base_dir
    async with ClientSession() as session:
        with running(data_dir) as first:
            alice = caller_of(first, key, session)
            template = await template_of(alice, command=gate.shell)
            job_id = (await run(alice, template, values={"token": SECRET})).body["jobId"]
            await gate.reached()
            first.end(signal.SIGKILL)
        assert sealed_in(base) != []
        with running(data_dir) as second:
            alice = caller_of(second, key, session)
            assert (await alice.result(job_id))["Status"] == "Interrupted"
            await gone(base)


async def test_nor_when_the_host_died_between_the_result_and_the_removal(start_host: StartHost) -> None:
    host = await start_host()
    alice, root = host.caller("debug"), host.caller("site_admin", user_id="root")
    template = await template_of(alice)
    await root.request("POST", "/queue/pause")
    job_id = (await run(alice, template, values={"token": SECRET})).body["jobId"]
    (path,) = (host.base_dir / "JobSubmission").glob("*/*.json")
    copy = path.read_bytes()
    await root.request("POST", "/queue/resume")
    await alice.result(job_id)
    await host.stop()
    # As such a death leaves it: the result, the submission with the value, and the folder of the run.
    (host.base_dir / "JobOutput" / path.name).write_bytes(copy)
    dead = host.base_dir / "Running" / "dead"
    (dead / "jobs" / path.stem).mkdir(parents=True)
    (dead / "lock").touch()
    host = await start_host()
    await gone(host.base_dir)
    assert not dead.exists()


async def test_running_it_again_asks_for_the_values_anew(host: Host) -> None:
    alice = host.caller("debug")
    template = await template_of(alice)
    result = await ended(alice, template, values={"token": SECRET})
    await gone(host.base_dir)
    answer = await alice.request("POST", f"/jobs/{result['JobID']}/rerun")
    assert answer.status == 409
    assert "not kept once it has ended" in answer.body["error"]


async def test_a_submission_without_its_values_put_back_does_not_run_without_them(
    host: Host, tmp_path: Path
) -> None:
    alice = host.caller("debug")
    ran = tmp_path / "ran"
    template = await template_of(alice, command=f"echo run >> {ran}")
    result = await ended(alice, template, values={"token": SECRET})
    await gone(host.base_dir)
    (kept,) = (host.base_dir / "JobOutput").glob("*.json")
    aside = tmp_path / "aside.json"
    shutil.copy(kept, aside)
    await alice.request("DELETE", f"/jobs/results?jobId={result['JobID']}")
    shutil.copy(aside, Drops(host).folder() / "back.json")
    await until(lambda: list((host.base_dir / "JobResults").glob("*.json")), "a result")
    assert ran.read_text() == "run\n"


LOOK_AROUND = """
import gc, os, sys

def look_around(needle):
    found, frame = [], sys._getframe(1)
    while frame is not None:
        for name, value in list(frame.f_locals.items()):
            if isinstance(value, (bytes, bytearray)) and needle.encode() in bytes(value):
                found.append(name)
        frame = frame.f_back
    for each in gc.get_objects():
        if isinstance(each, dict) and needle in [v for v in list(each.values()) if isinstance(v, str)]:
            if each.get("needle") != needle:
                found.append(str(list(each))[:60])
    return found

print(os.getpid(), look_around("".join(HALVES)))
"""


@pytest.mark.parametrize("interpreter", ["python", "shell"])
async def test_the_next_job_of_a_warm_worker_does_not_find_the_value(host: Host, interpreter: str) -> None:
    alice = host.caller("debug")
    command = "import os; os.getpid()" if interpreter == "python" else "echo $PPID"
    # So that the second job's request does not cover what the first one's has left.
    padding = {"name": "padding", "type": "string"}
    template = await template_of(
        alice,
        executionMode="Runspace",
        interpreter=interpreter,
        command=command,
        parameters=[padding, TOKEN],
    )
    first = await ended(alice, template, values={"padding": "x" * 4000, "token": SECRET})
    halves = f"HALVES = {[SECRET[:5], SECRET[5:]]!r}\n"
    second = await alice.run(halves + LOOK_AROUND, "Runspace", interpreter="python")
    assert second["Output"] == f"{first['Output'].strip()} []\n"
