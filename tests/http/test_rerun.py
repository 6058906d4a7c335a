"""``POST /jobs/{id}/rerun``: the same job once more, with the rights of whoever asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ..conftest import Caller, Host
from ..engines import BOTH
from ..gate import Gate
from .test_templates import create, ended

StartHost = Callable[..., Awaitable[Host]]


async def rerun(caller: Caller, job_id: str) -> Any:
    return await caller.request("POST", f"/jobs/{job_id}/rerun")


async def test_an_ended_job_is_run_again_as_it_was(host: Host) -> None:
    alice = host.caller("debug")
    fields = {
        "jobName": "again",
        "description": "twice",
        "interpreter": "python",
        "timeoutSeconds": 7,
        "priority": 3,
        "concurrencyKey": "one",
        "retry": {"count": 1, "backoffSeconds": 0.01},
        "delaySeconds": 0.01,
    }
    first = await alice.run("print('x' * 2000)\nexit(4)", "Runspace", **fields)
    answer = await rerun(alice, first["JobID"])
    assert (answer.status, answer.body["executionMode"]) == (200, "Runspace")
    assert answer.body["jobId"] != first["JobID"]
    second = await alice.result(answer.body["jobId"])
    own = {"JobID", "DateStarted", "DateCompleted", "Runtime", "SubmittedAt", "Attempts"}
    assert {k: v for k, v in second.items() if k not in own} == {
        k: v for k, v in first.items() if k not in own
    }
    assert second["Attempt"] == 2
    (submission,) = host.base_dir.glob(f"JobOutput/*{second['JobID']}.json")
    for part in ('"TimeoutSeconds": 7', '"ConcurrencyKey": "one"', '"RunAt": null'):
        assert part in submission.read_text()


async def test_running_and_waiting_jobs_are_run_again_too(host: Host, tmp_path: Path) -> None:
    alice, gate = host.caller("debug"), Gate(tmp_path / "gate")
    running = await alice.submit(gate.shell)
    waiting = await alice.submit("echo later", runAt="2999-01-01T00:00:00Z")
    await gate.reached()
    again = await rerun(alice, running)
    await gate.reached(2)
    gate.open()
    assert (await alice.result(again.body["jobId"]))["Success"] is True
    assert (await alice.result((await rerun(alice, waiting)).body["jobId"]))["Output"] == "later\n"


async def test_it_runs_with_the_rights_of_whoever_asks(host: Host) -> None:
    root = host.caller("system_admin", "debug", user_id="root")
    first = await root.run("'main loop'", "MainLoop", interpreter="python", priority=9)
    # Others do not even see it; an admin sees it but has no 'debug'.
    assert (await rerun(host.caller("debug", user_id="dave"), first["JobID"])).status == 403
    refused = await rerun(host.caller("site_admin", user_id="ada"), first["JobID"])
    assert (refused.status, refused.body["error"]) == (403, "MainLoop execution mode requires 'debug' role")
    theirs = await host.caller("debug", user_id="dave").run("id", priority=9)
    ada = host.caller("task_manager", "site_admin", user_id="ada")
    result = await ada.result((await rerun(ada, theirs["JobID"])).body["jobId"])
    assert result["UserID"] == "ada"


async def test_a_priority_is_cut_to_what_the_caller_may_use(host: Host) -> None:
    first = await host.caller("debug").run("true", priority=9)
    now_less = host.caller("task_manager")
    assert (await now_less.result((await rerun(now_less, first["JobID"])).body["jobId"]))["Priority"] == 7


async def test_somebody_who_may_no_longer_submit_reruns_nothing(host: Host) -> None:
    first = await host.caller("debug").run("true")
    assert (await rerun(host.caller("clerk"), first["JobID"])).status == 403


async def test_bad_requests(host: Host) -> None:
    alice = host.caller("debug")
    assert (await rerun(alice, "nonsense")).status == 422
    assert (await rerun(alice, str(uuid4()))).status == 404
    first = await alice.run("true")
    assert (await rerun(host.stranger(), first["JobID"])).status == 401
    assert (await alice.request("GET", f"/jobs/{first['JobID']}/rerun")).status == 405


@pytest.mark.parametrize("how", ["gone", "changed"])
async def test_what_was_submitted_must_still_be_there_as_it_was(host: Host, how: str) -> None:
    alice = host.caller("debug")
    first = await alice.run("echo good")
    (path,) = host.base_dir.glob(f"JobOutput/*{first['JobID']}.json")
    path.unlink() if how == "gone" else path.write_text(path.read_text().replace("good", "evil"))
    answer = await rerun(alice, first["JobID"])
    assert (answer.status, answer.body["code"]) == (409, "conflict")


@BOTH
async def test_a_templates_job_is_run_again_through_the_template(host: Host) -> None:
    alice, carol = host.caller("debug"), host.caller("clerk", user_id="carol")
    template = await create(alice)
    first = await ended(carol, template, values={"who": "you"}, jobName="mine", priority=2)
    second = await carol.result((await rerun(carol, first["JobID"])).body["jobId"])
    assert (second["Output"], second["JobName"], second["Priority"]) == ("hello you\n", "mine", 2)
    assert second["TemplateID"] == template["TemplateID"]
    # Seeing the job is not enough, and neither is the right to submit commands.
    assert (await rerun(host.caller("site_admin", user_id="ada"), first["JobID"])).status == 403
    assert (await rerun(host.caller("debug", user_id="carol"), first["JobID"])).status == 409
    path = f"/templates/{template['TemplateID']}"
    body = {"name": "greet", "command": "id", "executionMode": "BackgroundJob", "runRoles": ["clerk"]}
    assert (await alice.request("PUT", path, json=body)).status == 200
    changed = await rerun(carol, first["JobID"])
    assert (changed.status, "The template has changed" in changed.body["error"]) == (409, True)
    assert (await alice.request("DELETE", path)).status == 200
    gone = await rerun(carol, first["JobID"])
    assert (gone.status, "gone" in gone.body["error"]) == (409, True)


async def test_a_job_with_secret_values_is_not_run_again(host: Host) -> None:
    alice = host.caller("debug")
    template = await create(alice, command="true", parameters=[{"name": "token", "type": "secret"}])
    with_secret = await ended(alice, template, values={"token": "hunter2"})
    answer = await rerun(alice, with_secret["JobID"])
    assert (answer.status, f"/templates/{template['TemplateID']}/run" in answer.body["error"]) == (409, True)
    without = await ended(alice, template)
    assert (await rerun(alice, without["JobID"])).status == 200
