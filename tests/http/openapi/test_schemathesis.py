"""schemathesis, with every check it has, finds nothing wrong between the document and a real host.

It submits random text as commands. Nothing of it may ever run: the check at pick-up, which every job
passes, is told that nobody has roles, so that it rejects each job, and templates do not run, as their
owner may not run them. Before anything else a canary in every mode must be rejected in this way.

Nor may anything leave the machine, as jobs that are rejected give notice: webhooks are turned off, and
the mail server is a port on which nobody listens.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from aiohttp_jobs.access.current_roles import RightsCheck, Submitted

from ...conftest import Answer, Caller, Host
from ...ports import free_port
from ...processes import printed_by

StartHost = Callable[..., Awaitable[Host]]
HOOKS = Path(__file__).parent / "fuzz_hooks.py"
SECONDS = 1800
COOKIE = "PSWebSessionID"
CONFIG = """
hooks = {hooks}
seed = 1
request-timeout = 120.0
suppress-health-check = ["too_slow"]
workers = 1
headers = {{ Connection = "keep-alive", X-Requested-With = "schemathesis" }}
warnings = false

[generation]
deterministic = true
database = "none"
max-examples = {examples}
no-shrink = true

[phases.coverage]
generate-duplicate-query-parameters = true

[phases.stateful]
generation.max-examples = {examples}
max-steps = 6

[checks]
# What is too large is refused with 413, which schemathesis does not know as a refusal.
negative_data_rejection.expected-statuses = [
  "400", "401", "403", "404", "405", "409", "413", "415", "416", "422", "429",
]

[auth.wfc]
path = {users}
peers = ["alice", "bob"]

[[operations]]
include-operation-id = "readOutput"
# Whether a range can be satisfied depends on the output, as whether a job is there depends on its id.
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "416"]

[[operations]]
include-operation-id = "digestOutput"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "416"]

[[operations]]
include-operation-id = "runTemplate"
# Whether values fit depends on the template, likewise.
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "422"]

[[operations]]
include-operation-id = "runFunction"
# And whether there is such a function, on the host.
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "422"]

[[operations]]
include-operation-id = "followJob"
# Every stream starts with two events at once; one of a job that waits would then be read until the timeout.
max-stream-events = 2

[[operations]]
include-operation-id = "watchJobs"
# And this one starts with one.
max-stream-events = 1
"""


async def nobody_has_roles(_check: RightsCheck, _submitted: Submitted) -> Collection[str]:
    return ()


@pytest.fixture
async def harmless(start_host: StartHost, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host that accepts jobs and runs none. If one ran all the same, it would find no program."""
    monkeypatch.setattr(RightsCheck, "roles", nobody_has_roles)
    return await start_host(
        environment_allow=frozenset(),
        environment_extra={"PATH": "/nonexistent"},
        max_schedules_per_user=1000,
        max_templates=1000,
        max_wrong_keys=1_000_000,
        heartbeat_interval=1,
        webhook_enabled=False,
        smtp_host="127.0.0.1",
        smtp_port=free_port(),
        smtp_security="none",
        smtp_from="jobs@example.org",
    )


async def prove_harmless(host: Host, caller: Caller, canary: Path) -> None:
    """Raise ``AssertionError`` unless the host rejects what is submitted to it in every mode."""
    for mode in ("MainLoop", "Runspace", "BackgroundJob"):
        for interpreter, command in (
            ("shell", f"> {canary}"),
            ("python", f"open({str(canary)!r}, 'w').close()"),
        ):
            result = await caller.run(command, mode, interpreter=interpreter)
            assert (result["Status"], result["ExitCode"]) == ("Rejected", None)
            again = await caller.request(
                "POST", f"/jobs/{result['JobID']}/rerun", headers={"X-Requested-With": "test"}
            )
            assert (await caller.result(again.body["jobId"]))["Status"] == "Rejected"
            assert (await run_as_template(caller, result)).status == 403
    assert not canary.exists()


async def run_as_template(caller: Caller, job: dict[str, Any]) -> Answer:
    """The answer to having the command of `job` run as a template."""
    fields = {"command": "Command", "executionMode": "ExecutionMode", "interpreter": "Interpreter"}
    template = {"name": "canary", **{name: job[field] for name, field in fields.items()}}
    made = await caller.request("POST", "/templates", json=template)
    assert made.status == 201, made.body
    return await caller.request("POST", f"/templates/{made.body['template']['TemplateID']}/run", json={})


async def test_the_host_that_is_fuzzed_runs_no_command(harmless: Host, tmp_path: Path) -> None:
    await prove_harmless(harmless, await harmless.signed_in("debug"), tmp_path / "canary")


async def test_the_same_canary_would_run_on_another_host(host: Host, tmp_path: Path) -> None:
    """So the test above would notice."""
    with pytest.raises(AssertionError):
        await prove_harmless(host, await host.signed_in("debug"), tmp_path / "canary")
    assert (tmp_path / "canary").exists()


@pytest.mark.timeout(SECONDS + 20)
async def test_schemathesis_finds_nothing(harmless: Host, tmp_path: Path) -> None:
    """In all operations, and then in chains of them: one run, as each needs two seconds to begin."""
    # A fifth of the host's work would be what asyncio notes for messages about it.
    asyncio.get_running_loop().set_debug(False)
    users = {name: await harmless.signed_in("debug", user_id=name) for name in ("alice", "bob")}
    users["root"] = await harmless.signed_in("system_admin", "debug", user_id="root")
    await prove_harmless(harmless, users["alice"], tmp_path / "canary")

    (tmp_path / "users.json").write_text(json.dumps({"auth": [entry(*each) for each in users.items()]}))
    (tmp_path / "document.json").write_text(
        json.dumps((await users["alice"].request("GET", "/openapi.json")).body)
    )
    (tmp_path / "schemathesis.toml").write_text(
        CONFIG.format(
            hooks=json.dumps(str(HOOKS)), users=json.dumps(str(tmp_path / "users.json")), examples=examples()
        )
    )
    status, report = await run_schemathesis(harmless, tmp_path)
    assert status == 0, report
    ended_jobs = [record["Status"] for user in users.values() for record in await user.results()]
    assert set(ended_jobs) <= {"Rejected", "Cancelled"}  # those whose results it has not deleted
    accepted_jobs = (tmp_path / "accepted.txt").read_text().split()
    assert len(set(accepted_jobs)) > 30
    assert not (tmp_path / "canary").exists()


def examples() -> int:
    return int(os.environ.get("SCHEMATHESIS_EXAMPLES", "10"))


def entry(name: str, caller: Caller) -> dict[str, Any]:
    """A user as Web Fuzzing Commons describes one."""
    cookie = caller.session.cookie_jar.filter_cookies(URL(caller.base))[COOKIE]
    fixed = {"Cookie": f"{COOKIE}={cookie.value}", "X-Requested-With": "test"}
    return {"name": name, "fixedHeaders": [{"name": each, "value": value} for each, value in fixed.items()]}


async def run_schemathesis(host: Host, folder: Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml",
        "run", "document.json", "--url", host.api, "--checks", "all", "--no-color",
        "--phases=examples,coverage,fuzzing,stateful",
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await printed_by(process, seconds=SECONDS)
    return process.returncode, output.decode()
