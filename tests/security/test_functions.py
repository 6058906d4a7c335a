"""The door: the host's own functions, for who may not run them, or would have them run something else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest
from aiohttp import web

from aiohttp_jobs import Functions, Identity, JobsConfig
from aiohttp_jobs.access.current_roles import CurrentRoles, RightsCheck
from aiohttp_jobs.access.policy import AccessPolicy
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys
from aiohttp_jobs.model.functions import HostCode

from ..conftest import Caller, Host
from ..engine.embedded.drops import Drops
from ..functions import sample
from ..gate import until, until_answered
from ..http.test_functions import accepted, run

StartHost = Callable[..., Awaitable[Host]]
SECRET = "correct-horse-battery"


@pytest.fixture
async def host(start_host: StartHost) -> Host:
    return await start_host(functions=sample.jobs)


async def paused(host: Host) -> Caller:
    """An administrator who has paused the queue."""
    root = host.caller("site_admin", user_id="root")
    assert (await root.request("POST", "/queue/pause")).status == 200
    return root


async def test_a_viewer_who_may_not_run_it_cannot_tell_that_it_is_there(host: Host) -> None:
    viewer = host.caller("viewer")
    for method, path in (("GET", ""), ("POST", "/run")):
        answers = []
        for name in ("rebuild", "reindex", "no_such_function"):
            answer = await viewer.request(method, f"/functions/{name}{path}", json={"values": {"index": "x"}})
            answers.append((answer.status, answer.body["error"].replace(name, "it")))
        assert answers == [(404, "There is no function it.")] * 3
    assert "rebuild" not in str((await viewer.request("GET", "/functions")).body)


async def test_a_name_that_no_function_has_is_no_address_of_anything(host: Host) -> None:
    caller = host.caller("debug")
    for name in ("__init__", "..%2f..%2fetc", "plain", "%00", "x" * 5000, "jobs.function"):
        answer = await caller.request("POST", f"/functions/{name}/run", json={})
        assert answer.status in {400, 404, 414}, name


async def test_values_are_never_code(host: Host) -> None:
    clerk = host.caller("task_manager")
    value = "'); __import__('os').system('touch /tmp/x') #\n\u202e${7*7}`id`"
    job = await accepted(clerk, "login", {"user": value, "password": SECRET})
    # One line that Python would read as one call of one text, were it ever to read it.
    assert "\n" not in job["Command"]
    assert eval(job["Command"].replace("…", "''"), {"login": lambda **values: values}) == {
        "user": value,
        "password": "",
    }
    assert job["FunctionValues"] == {"user": value}


async def test_secrets_are_in_no_view_no_file_and_no_log(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    clerk = host.caller("task_manager")
    root = await paused(host)
    values = {"user": "ann", "password": SECRET}
    waiting = await accepted(clerk, "login", values)
    answer = await run(clerk, "login", values)
    job_id = answer.body["jobId"]
    shown = [
        waiting,
        (await clerk.request("GET", "/jobs")).body,
        (await clerk.request("GET", f"/jobs/{job_id}")).body,
        (await root.request("GET", "/queue")).body,
    ]
    kept = [path.read_bytes() for path in host.base_dir.rglob("*") if path.is_file()]
    assert any(b"SealedValues" in content for content in kept)
    await root.request("POST", "/queue/resume")
    shown.append(await clerk.result(job_id))
    kept += [path.read_bytes() for path in host.base_dir.rglob("*") if path.is_file()]
    assert SECRET not in str(shown)
    assert not [content for content in kept if SECRET.encode() in content]
    assert SECRET not in caplog.text
    assert waiting["Command"] == "login(user='ann', password=…)"


@pytest.mark.parametrize("mode", ["MainLoop", "BackgroundJob"])
async def test_secrets_are_masked_in_the_output_and_gone_with_the_job(host: Host, mode: str) -> None:
    caller = host.caller("debug")
    values = {"user": f"ann {SECRET}", "password": SECRET}
    answer = await run(caller, "login", values, executionMode=mode)
    result = await caller.result(answer.body["jobId"])
    assert (result["Status"], result["ReturnValue"]) == ("Succeeded", len(SECRET))
    assert SECRET not in result["Output"]
    assert result["Output"].startswith("ann ")
    [kept] = (host.base_dir / "JobOutput").glob("*.json")
    await until(lambda: json.loads(kept.read_text())["SealedValues"] == "", "that nothing holds the secret")


async def test_a_refused_value_is_not_repeated_if_it_is_secret(host: Host) -> None:
    clerk = host.caller("task_manager")
    answer = await run(clerk, "login", {"user": 1, "password": [SECRET]})
    assert answer.status == 422
    assert SECRET not in str(answer.body)


async def test_a_role_taken_away_before_the_pick_up_counts(start_host: StartHost) -> None:
    roles = {"alice": frozenset({"librarian"}), "root": frozenset({"site_admin"})}

    async def resolve(user_id: str) -> frozenset[str] | None:
        return roles.get(user_id)

    host = await start_host(functions=sample.jobs, roles_resolver=resolve, roles_cache_seconds=0)
    librarian, root = host.caller("librarian"), host.caller("site_admin", user_id="root")
    assert (await root.request("POST", "/queue/pause")).status == 200
    job_id = (await run(librarian, "rebuild", {"index": "users"})).body["jobId"]
    roles["alice"] = frozenset({"task_manager", "debug"})
    await root.request("POST", "/queue/resume")
    result = await librarian.result(job_id)
    assert result["Status"] == "Rejected"
    assert "Your roles no longer allow you to run rebuild in Runspace." in result["Output"]


class TestDroppedFiles:
    """Whoever can write files below the data folder, where unsigned ones are taken and where they are not."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "Function": "greet",
        "FunctionValues": {"name": "x"},
        "ExecutionMode": "MainLoop",
    }

    async def test_cannot_claim_to_be_the_hosts_own_code(self, start_host: StartHost) -> None:
        host = await start_host(functions=sample.jobs, allow_unsigned_submissions=True)
        drops = Drops(host)
        record = drops.record(**self.FIELDS, SubmittedWith="code")
        drops.put(record)
        result = await host.caller().result(record["JobID"])
        assert result["Status"] == "Rejected"
        assert "Only the host's own code submits jobs in its own name" in result["Output"]

    async def test_nor_with_a_command(self, start_host: StartHost) -> None:
        host = await start_host(functions=sample.jobs, allow_unsigned_submissions=True)
        drops = Drops(host)
        record = drops.record(SubmittedWith="code", Roles=[])
        drops.put(record)
        assert (await host.caller().result(record["JobID"]))["Status"] == "Rejected"

    async def test_run_nothing_where_unsigned_ones_are_not_taken(self, host: Host) -> None:
        drops = Drops(host)
        for index, more in enumerate(({}, {"SubmittedWith": "code"})):
            drops.put(drops.record(**self.FIELDS, **more), f"drop{index}.json")
        caller = host.caller()

        async def ended() -> bool:
            return len(await caller.results()) == 2

        await until_answered(ended, "both results")
        assert {result["Status"] for result in await caller.results()} == {"Rejected"}

    async def test_have_the_rights_of_whoever_they_name(self, start_host: StartHost) -> None:
        host = await start_host(functions=sample.jobs, allow_unsigned_submissions=True)
        drops = Drops(host)
        fields = {"Function": "rebuild", "FunctionValues": {"index": "users"}, "ExecutionMode": "Runspace"}
        record = drops.record(**fields, Roles=["debug"])
        drops.put(record)
        result = await host.caller().result(record["JobID"])
        assert "Your roles no longer allow you to run rebuild" in result["Output"]

    async def test_cannot_smuggle_values_that_the_function_does_not_take(self, start_host: StartHost) -> None:
        host = await start_host(functions=sample.jobs, allow_unsigned_submissions=True)
        drops = Drops(host)
        record = drops.record(**{**self.FIELDS, "FunctionValues": {"name": 5}})
        drops.put(record)
        result = await host.caller().result(record["JobID"])
        assert (result["Status"], "values.name must be a text" in result["Output"]) == (
            "Rejected",
            True,
        )

    async def test_cannot_have_a_function_run_where_it_may_not(self, start_host: StartHost) -> None:
        host = await start_host(functions=sample.jobs, allow_unsigned_submissions=True)
        drops = Drops(host)
        record = drops.record(**{**self.FIELDS, "ExecutionMode": "BackgroundJob"})
        drops.put(record)
        result = await host.caller().result(record["JobID"])
        assert "The function greet no longer runs in BackgroundJob" in result["Output"]


async def test_a_request_cannot_say_that_it_is_code(host: Host) -> None:
    clerk = host.caller("task_manager")
    job = {"jobName": "x", "command": "true", "executionMode": "BackgroundJob"}
    for more in ({"submittedWith": "code"}, {"SubmittedWith": "code"}, {"function": "rebuild"}):
        assert (await clerk.request("POST", "/jobs/submit", json={**job, **more})).status == 422
        values = {"rows": [], "price": 1}
        assert (await run(clerk, "report", values, **more)).status == 422


async def test_a_resolver_cannot_make_a_request_the_hosts_code(start_host: StartHost) -> None:
    async def resolve(_request: web.Request) -> Identity:
        return HostCode("alice")

    host = await start_host(functions=sample.jobs, identity_resolver=resolve)
    answer = await host.stranger().request("GET", "/functions")
    assert (answer.status, answer.body["code"]) == (401, "not_authenticated")


async def test_whoever_the_hosts_code_submits_for_needs_be_nobody_to_be_told_of_the_end(
    make_config: Callable[..., JobsConfig],
) -> None:
    """But only where the code did: of a user who is gone nobody is told anything."""

    async def resolve(_user_id: str) -> None:
        return None

    config = make_config(roles_resolver=resolve)
    keys = ApiKeys.in_data_dir(config.data_dir)
    rights = RightsCheck(AccessPolicy(config), keys, CurrentRoles(config))
    assert await rights.has_user("nightly", "code") is True
    for proof in ("session", "api_key:code", "resolver", "code:code", "Code"):
        assert await rights.has_user("nightly", proof) is False


async def test_another_users_command_cannot_hold_up_a_function(host: Host) -> None:
    """Its key is its own: nobody who knows the key's name can take it."""
    root = await paused(host)
    clerk, librarian = host.caller("task_manager", user_id="eve"), host.caller("librarian")
    for user in ("eve", "functions"):
        await host.caller("task_manager", user_id=user).submit("sleep 60", concurrencyKey="index")
    job_id = (await run(librarian, "rebuild", {"index": "users"})).body["jobId"]
    await root.request("POST", "/queue/resume")
    assert (await librarian.result(job_id))["Function"] == "rebuild"
    assert await clerk.results() == []


class TestANewRelease:
    """What waits while the host gets other code: it runs as it was accepted, or not at all."""

    async def again(
        self, start_host: StartHost, name: str, values: dict[str, Any], functions: Functions
    ) -> dict[str, Any]:
        """The result of a job that was accepted by `sample.jobs` and is picked up by `functions`."""
        host = await start_host(functions=sample.jobs)
        await paused(host)
        job_id = (await run(host.caller("debug", "librarian"), name, values)).body["jobId"]
        await host.stop()
        host = await start_host(functions=functions)
        await host.caller("site_admin", user_id="root").request("POST", "/queue/resume")
        return await host.caller("debug").result(job_id)

    async def test_a_function_that_is_gone(self, start_host: StartHost) -> None:
        result = await self.again(start_host, "rebuild", {"index": "users"}, Functions())
        assert result["Status"] == "Rejected"
        assert "no longer has the function rebuild" in result["Output"]

    async def test_a_parameter_that_is_no_longer_taken_is_named(self, start_host: StartHost) -> None:
        functions = Functions()

        @functions.function(mode="MainLoop", roles={"authenticated"})
        async def greet(first_name: str) -> None: ...

        result = await self.again(start_host, "greet", {"name": "ann"}, functions)
        assert (result["Status"], result["FunctionValues"]) == ("Rejected", {"name": "ann"})
        assert "values.name is not a parameter of this function" in result["Output"]
        assert "values.first_name is required" in result["Output"]

    async def test_a_renamed_one_is_found_by_its_old_name(self, start_host: StartHost) -> None:
        functions = Functions()

        @functions.function(mode="MainLoop", roles={"authenticated"}, old_names=["greet"])
        async def welcome(name: str) -> None: ...

        result = await self.again(start_host, "greet", {"name": "ann"}, functions)
        assert result["Status"] != "Rejected"

    async def test_a_name_is_not_somebody_elses_function(self, start_host: StartHost) -> None:
        """A secret goes only to a function that asks for it as one."""
        functions = Functions()

        @functions.function(mode="MainLoop", name="login", roles={"authenticated"})
        async def other(user: str, password: str) -> None: ...

        values = {"user": "ann", "password": SECRET}
        host = await start_host(functions=sample.jobs)
        await paused(host)
        answer = await run(host.caller("debug"), "login", values, executionMode="MainLoop")
        await host.stop()
        host = await start_host(functions=functions)
        await host.caller("site_admin", user_id="root").request("POST", "/queue/resume")
        result = await host.caller("debug").result(answer.body["jobId"])
        assert (result["Status"], SECRET in str(result)) == ("Rejected", False)
        assert "values.password is a secret by now, or was one" in result["Output"]
