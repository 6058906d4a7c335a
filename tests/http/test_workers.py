"""Labels and workers over HTTP: what may be asked for on which engine, what waits for what, who is shown."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ..conftest import Host
from ..engines import BOTH
from .test_jobs_resource import job, until

StartHost = Callable[..., Awaitable[Host]]
ON_POSTGRES = pytest.mark.parametrize("engine", ["postgres"], indirect=True)
COMMAND = {"command": "true", "executionMode": "BackgroundJob"}
LABELLED: list[tuple[str, dict[str, Any], str]] = [
    ("/jobs/submit", {"jobName": "x", **COMMAND, "labels": ["gpu"]}, "labels"),
    ("/templates", {"name": "x", **COMMAND, "labels": ["gpu"]}, "labels"),
    (
        "/schedules",
        {"name": "x", "cron": "@daily", "job": {"jobName": "x", **COMMAND, "labels": ["gpu"]}},
        "job.labels",
    ),
]


async def test_what_runs_all_jobs_itself_takes_no_labels(host: Host) -> None:
    caller = host.caller("task_manager")
    assert (await caller.request("GET", "/me")).body["me"]["capabilities"] == ["droppedFiles"]
    for path, body, field in LABELLED:
        answer = await caller.request("POST", path, json=body)
        assert answer.status == 422, path
        (fault,) = answer.body["details"]
        assert fault["field"] == field
        assert "runs all jobs itself" in fault["message"]


async def test_what_runs_all_jobs_itself_has_no_workers(host: Host) -> None:
    admin = host.caller("system_admin")
    assert (await admin.request("GET", "/workers")).body["workers"] == []
    assert (await admin.request("POST", f"/workers/{uuid.uuid4()}/drain")).status == 404


@BOTH
async def test_labels_that_are_none_are_refused(start_host: StartHost) -> None:
    caller = (await start_host()).caller("task_manager")
    for labels in (["GPU"], ["a b"], [""], ["-x"], ["x" * 64], [1], "gpu", ["x"] * 17):
        body = {"jobName": "x", **COMMAND, "labels": labels}
        assert (await caller.request("POST", "/jobs/submit", json=body)).status == 422, labels


@ON_POSTGRES
async def test_a_job_that_nobody_can_run_says_so_and_is_not_lost(start_host: StartHost) -> None:
    caller = (await start_host()).caller("task_manager")
    assert "labels" in (await caller.request("GET", "/me")).body["me"]["capabilities"]
    job_id = await caller.submit("true", labels=["gpu"])
    shown = await job(caller, job_id)
    sentence = "No worker that runs now has the label gpu. The job waits until one does."
    assert (shown["Status"], shown["Labels"], shown["WaitingFor"]) == ("Queued", ["gpu"], sentence)
    listed = (await caller.request("GET", "/jobs")).body["jobs"]
    assert [each["WaitingFor"] for each in listed] == [sentence]
    assert (await caller.run("echo beside it"))["Status"] == "Succeeded"


@ON_POSTGRES
async def test_templates_schedules_and_reruns_pass_labels_on(start_host: StartHost) -> None:
    caller = (await start_host()).caller("task_manager", "system_admin")
    made = [(await caller.request("POST", path, json=body)).body for path, body, _ in LABELLED]
    first, template, schedule = made[0]["jobId"], made[1]["template"], made[2]["schedule"]
    assert template["Labels"] == schedule["Job"]["Labels"] == ["gpu"]
    run = f"/templates/{template['TemplateID']}/run"
    again = [(await caller.request("POST", path, json={})).body["jobId"] for path in (run,)]
    again.append((await caller.request("POST", f"/jobs/{first}/rerun")).body["jobId"])
    for job_id in again:
        assert (await job(caller, job_id))["Labels"] == ["gpu"]


@ON_POSTGRES
async def test_labels_are_not_for_the_main_loop(start_host: StartHost) -> None:
    caller = (await start_host()).caller("debug")
    body = {"jobName": "x", "command": "true", "executionMode": "MainLoop", "labels": ["gpu"]}
    answer = await caller.request("POST", "/jobs/submit", json=body)
    assert answer.status == 422
    assert "MainLoop" in answer.body["details"][0]["message"]


@ON_POSTGRES
async def test_hosts_are_shown_and_cannot_be_drained(start_host: StartHost) -> None:
    host = await start_host()
    admin = host.caller("system_admin")
    job_id = await host.caller("task_manager").submit("sleep 60")
    await until(host.caller("task_manager"), job_id, "Running")
    shown = (await admin.request("GET", "/workers")).body["workers"]
    (found,) = [each for each in shown if each["Running"]]
    assert (found["Kind"], found["Draining"], found["Alive"]) == ("host", False, True)
    assert [each["JobID"] for each in found["Jobs"]] == [job_id]
    assert found["Places"]["BackgroundJob"] >= 1
    drained = await admin.request("POST", f"/workers/{found['WorkerID']}/drain")
    assert drained.status == 409
    assert "This is a host" in drained.body["error"]
    assert (await host.caller("task_manager").request("GET", "/workers")).status == 403
