"""``/api/v1/templates`` as its users meet it: who may do what, and what bad input is answered."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from ..conftest import Caller, Host
from ..engines import BOTH

StartHost = Callable[..., Awaitable[Host]]
BODY: dict[str, Any] = {
    "name": "greet",
    "command": 'echo "hello $PARAM_who"',
    "executionMode": "BackgroundJob",
    "parameters": [{"name": "who", "type": "string", "required": True}],
    "runRoles": ["clerk"],
}


async def create(caller: Caller, **fields: Any) -> dict[str, Any]:
    answer = await caller.request("POST", "/templates", json={**BODY, **fields})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body["template"]
    return made


async def run(caller: Caller, template: dict[str, Any], **fields: Any) -> Any:
    return await caller.request("POST", f"/templates/{template['TemplateID']}/run", json=fields)


async def ended(caller: Caller, template: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The result of a run that must be accepted."""
    answer = await run(caller, template, **fields)
    assert answer.status == 200, answer.body
    return await caller.result(answer.body["jobId"])


# --- making, showing, changing


async def test_a_new_template_is_answered_whole(host: Host) -> None:
    made = await create(host.caller("task_manager"), description="says hello", timeoutSeconds=5.5)
    assert made.pop("CreatedAt") == made.pop("UpdatedAt")
    assert made.pop("TemplateID")
    assert made == {
        "UserID": "alice",
        "Name": "greet",
        "Description": "says hello",
        "Command": 'echo "hello $PARAM_who"',
        "ExecutionMode": "BackgroundJob",
        "Interpreter": "shell",
        "TimeoutSeconds": 5.5,
        "Priority": None,
        "ConcurrencyKey": None,
        "Labels": [],
        "Retry": None,
        "Notify": [],
        "Parameters": [
            {
                "name": "who",
                "type": "string",
                "description": "",
                "required": True,
                "allowLeadingDash": False,
            }
        ],
        "RunRoles": ["clerk"],
        "UpdatedBy": "alice",
        "MayRun": True,
        "MayEdit": True,
    }


async def test_a_list_shows_what_the_caller_may_run_or_edit_and_nothing_else(host: Host) -> None:
    alice = host.caller("task_manager")
    greet = await create(alice)
    private = await create(alice, name="private", runRoles=[])
    public = await create(alice, name="public", runRoles=["authenticated"])
    for caller, seen in (
        (alice, {"greet": (True, True), "private": (True, True), "public": (True, True)}),
        (host.caller("clerk", user_id="carol"), {"greet": (True, False), "public": (True, False)}),
        (host.caller(user_id="eve"), {"public": (True, False)}),
        (host.caller("debug", user_id="dave"), {"public": (True, False)}),
        (
            host.caller("site_admin", user_id="root"),
            {"greet": (False, True), "private": (False, True), "public": (True, True)},
        ),
    ):
        answer = await caller.request("GET", "/templates")
        shown = {each["Name"]: (each["MayRun"], each["MayEdit"]) for each in answer.body["templates"]}
        assert (shown, answer.body["count"]) == (seen, len(seen))
        for template in (greet, private, public):
            one = await caller.request("GET", f"/templates/{template['TemplateID']}")
            assert one.status == (200 if template["Name"] in seen else 404)


async def test_what_somebody_may_not_see_looks_as_if_it_were_not_there(host: Host) -> None:
    template, eve = await create(host.caller("task_manager")), host.caller("task_manager", user_id="eve")
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", BODY),
        ("DELETE", "", None),
        ("POST", "/run", {"values": {"who": "x"}}),
    ):
        answers = []
        for template_id in (template["TemplateID"], str(uuid4())):
            answer = await eve.request(method, f"/templates/{template_id}{path}", json=body)
            answers.append((answer.status, answer.body["error"].replace(template_id, "it")))
        assert answers == [(404, "There is no template it.")] * 2


async def test_who_may_run_it_may_not_change_it(host: Host) -> None:
    template, carol = await create(host.caller("debug")), host.caller("clerk", "debug", user_id="carol")
    path = f"/templates/{template['TemplateID']}"
    assert (await carol.request("PUT", path, json=BODY)).status == 403
    assert (await carol.request("DELETE", path)).status == 403
    assert (await carol.request("GET", path)).body["template"]["Command"] == BODY["command"]


async def test_a_template_is_written_only_by_who_may_run_such_commands_themselves(host: Host) -> None:
    for roles, mode, status in (
        ((), "BackgroundJob", 403),
        (("clerk",), "BackgroundJob", 403),
        (("task_manager",), "MainLoop", 403),
        (("site_admin",), "MainLoop", 403),
        (("debug",), "MainLoop", 201),
    ):
        body = {**BODY, "executionMode": mode}
        answer = await host.caller(*roles).request("POST", "/templates", json=body)
        assert answer.status == status, (roles, mode)
    refused = await host.caller("clerk").request("POST", "/templates", data=b"not even JSON")
    assert refused.status == 403


async def test_an_admin_who_changes_a_template_owns_it_from_then_on(host: Host) -> None:
    alice, root = host.caller("debug"), host.caller("system_admin", user_id="root")
    template = await create(alice)
    path = f"/templates/{template['TemplateID']}"
    changed = await root.request("PUT", path, json={**BODY, "name": "welcome", "parameters": []})
    assert changed.status == 200
    assert changed.body["template"]["CreatedAt"] == template["CreatedAt"]
    assert (changed.body["template"]["UserID"], changed.body["template"]["UpdatedBy"]) == ("root", "root")
    assert (await alice.request("DELETE", path)).status == 404
    # The mode is asked of whoever writes it: an admin's change gives nobody the rights of 'debug'.
    main_loop = await create(alice, executionMode="MainLoop", interpreter="python", command="1")
    path = f"/templates/{main_loop['TemplateID']}"
    assert (await root.request("PUT", path, json={**BODY, "executionMode": "MainLoop"})).status == 403
    assert (await root.request("DELETE", path)).status == 200
    assert (await alice.request("GET", path)).status == 404


async def test_there_are_only_so_many(start_host: StartHost) -> None:
    caller = (await start_host(max_templates=2)).caller("debug")
    for _ in range(2):
        await create(caller)
    answer = await caller.request("POST", "/templates", json=BODY)
    assert (answer.status, answer.body["code"]) == (409, "conflict")


BAD_TEMPLATES: list[tuple[dict[str, Any], str]] = [
    # fields of a template, and the one at fault
    ({"name": ""}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": 1}, "name"),
    ({"command": " "}, "command"),
    ({"command": "a\0b"}, "command"),
    ({"executionMode": "Never"}, "executionMode"),
    ({"interpreter": "cobol"}, "interpreter"),
    ({"timeoutSeconds": -1}, "timeoutSeconds"),
    ({"timeoutSeconds": 1e9}, "timeoutSeconds"),
    ({"description": "x" * 2001}, "description"),
    ({"priority": 10}, "priority"),
    ({"runRoles": "clerk"}, "runRoles"),
    ({"runRoles": [""]}, "runRoles.0"),
    ({"runRoles": ["x"] * 51}, "runRoles"),
    ({"runAt": "2030-01-01T00:00:00Z"}, "runAt"),
    ({"parameters": {}}, "parameters"),
    ({"parameters": [{"name": f"p{n}", "type": "int"} for n in range(51)]}, "parameters"),
    ({"parameters": [{"name": "a", "type": "int"}, {"name": "A", "type": "int"}]}, "parameters"),
]


async def test_bad_templates_are_refused_by_field(host: Host) -> None:
    caller = host.caller("debug")
    path = f"/templates/{(await create(caller))['TemplateID']}"
    for fields, field in BAD_TEMPLATES:
        answer = await caller.request("POST", "/templates", json={**BODY, **fields})
        assert (answer.status, answer.body["code"]) == (422, "invalid_fields"), fields
        assert field in [fault["field"] for fault in answer.body["details"]], fields
        assert (await caller.request("PUT", path, json={**BODY, **fields})).status == 422, fields


async def test_bad_requests_get_what_they_deserve_everywhere(host: Host) -> None:
    caller = host.caller("debug")
    one = f"/templates/{(await create(caller))['TemplateID']}"
    for method, path in (("POST", "/templates"), ("PUT", one), ("POST", one + "/run")):
        assert (await caller.request(method, path, data=b"{")).status == 415
        headers = {"Content-Type": "application/json"}
        assert (await caller.request(method, path, data=b"{", headers=headers)).status == 400
        assert (await caller.request(method, path, json=[])).status == 422
        assert (await caller.request(method, path, json={"surplus": 1})).status == 422
        big = b'{"name": "' + b"x" * (1 << 20) + b'"}'
        assert (await caller.request(method, path, data=io.BytesIO(big), headers=headers)).status == 413
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/run")):
        assert (await caller.request(method, f"/templates/nonsense{path}", json={})).status == 422
        assert (await host.stranger().request(method, one + path, json={})).status == 401
    assert (await host.stranger().request("GET", "/templates")).status == 401
    assert (await host.stranger().request("POST", "/templates", json=BODY)).status == 401
    long = {**BODY, "command": "x" * 300_000}
    assert (await caller.request("POST", "/templates", json=long)).status == 413
    assert (await caller.request("PATCH", one)).status == 405


# --- running


async def test_somebody_who_may_not_write_commands_runs_an_approved_one(host: Host) -> None:
    template = await create(host.caller("debug"), runRoles=["clerk"])
    carol = host.caller("clerk", user_id="carol")
    assert (await carol.request("POST", "/jobs/submit", json={})).status == 403
    answer = await run(carol, template, values={"who": "world; $(id) `id` 'x'"})
    assert (answer.status, answer.body["executionMode"]) == (200, "BackgroundJob")
    result = await carol.result(answer.body["jobId"])
    assert result["Output"] == "hello world; $(id) `id` 'x'\n"
    assert (result["UserID"], result["JobName"], result["Status"]) == ("carol", "greet", "Succeeded")
    assert result["TemplateID"] == template["TemplateID"]
    assert result["TemplateValues"] == {"who": "world; $(id) `id` 'x'"}


async def test_a_runs_own_name_start_and_priority(host: Host) -> None:
    template, carol = await create(host.caller("debug"), priority=9), host.caller("clerk", user_id="carol")
    assert (await run(carol, template, values={"who": "x"}, priority=6)).status == 403
    result = await ended(carol, template, values={"who": "x"}, jobName="mine", priority=2, delaySeconds=0.1)
    assert (result["JobName"], result["Priority"]) == ("mine", 2)
    assert (await ended(carol, template, values={"who": "x"}))["Priority"] == 9
    later = await run(carol, template, values={"who": "x"}, runAt="2999-01-01T00:00:00+02:00")
    job = (await carol.request("GET", f"/jobs/{later.body['jobId']}")).body["job"]
    assert (job["Status"], job["RunAt"]) == ("Pending", "2998-12-31T22:00:00.000000Z")
    assert (job["TemplateID"], job["TemplateValues"]) == (template["TemplateID"], {"who": "x"})


BAD_RUNS: list[tuple[dict[str, Any], str]] = [
    # what a run is asked for with, and the field at fault
    ({"values": {}}, "values.who"),
    ({"values": {"who": None}}, "values.who"),
    ({"values": {"who": ""}}, "values.who"),
    ({"values": {"who": 1}}, "values.who"),
    ({"values": {"who": "--help"}}, "values.who"),
    ({"values": {"who": "a\nb"}}, "values.who"),
    ({"values": {"who": "\ud800"}}, "values.who"),
    ({"values": {"who": "x" * 4097}}, "values.who"),
    ({"values": {"who": "x", "PATH": "/tmp"}}, "values.PATH"),
    ({"values": []}, "values"),
    ({"values": {"who": "x"}, "jobName": ""}, "jobName"),
    ({"values": {"who": "x"}, "jobName": "x" * 101}, "jobName"),
    ({"values": {"who": "x"}, "priority": 10}, "priority"),
    ({"values": {"who": "x"}, "runAt": "soon"}, "runAt"),
    ({"values": {"who": "x"}, "runAt": "2030-01-01T00:00:00"}, "runAt"),
    ({"values": {"who": "x"}, "delaySeconds": -1}, "delaySeconds"),
    ({"values": {"who": "x"}, "runAt": "2030-01-01T00:00:00Z", "delaySeconds": 1}, "body"),
    ({"values": {"who": "x"}, "command": "id"}, "command"),
]


async def test_bad_runs_are_refused_by_field(host: Host) -> None:
    caller = host.caller("debug")
    template = await create(caller)
    for fields, field in BAD_RUNS:
        answer = await run(caller, template, **fields)
        assert (answer.status, answer.body["code"]) == (422, "invalid_fields"), (fields, answer.body)
        assert field in [fault["field"] for fault in answer.body["details"]], fields


async def test_values_that_are_too_much_together_are_refused(host: Host) -> None:
    caller = host.caller("debug")
    names = [f"p{n}" for n in range(10)]
    template = await create(caller, parameters=[{"name": name, "type": "string"} for name in names])
    answer = await run(caller, template, values=dict.fromkeys(names, "x" * 4000))
    assert (answer.status, answer.body["details"][0]["field"]) == (422, "values")
    names.pop(), names.pop()
    assert (await ended(caller, template, values=dict.fromkeys(names, "é" * 2000)))["Success"] is True


# --- rights, at the moment of running and of picking up


class Roles:
    """Everybody's roles, as the host's own user table has them."""

    def __init__(self, **roles: set[str] | None) -> None:
        self.of = roles

    async def __call__(self, user_id: str) -> set[str] | None:
        return self.of.get(user_id)


async def test_a_template_runs_only_while_its_owner_may_run_such_commands(start_host: StartHost) -> None:
    roles = Roles(alice={"debug"}, carol={"clerk"})
    host = await start_host(roles_resolver=roles, roles_cache_seconds=0)
    alice = await host.signed_in("debug")
    carol = await host.signed_in("clerk", user_id="carol")
    template = await create(alice)
    root = host.caller("site_admin", user_id="root", service=True)
    await root.request("POST", "/queue/pause")
    waiting = (await run(carol, template, values={"who": "x"})).body["jobId"]
    roles.of["alice"] = {"clerk"}
    refused = await run(carol, template, values={"who": "x"})
    assert (refused.status, "may no longer run such commands" in refused.body["error"]) == (403, True)
    await root.request("POST", "/queue/resume")
    result = await carol.result(waiting)
    assert (result["Status"], "may no longer run such commands" in result["Output"]) == ("Rejected", True)
    roles.of["alice"] = None
    assert (await run(carol, template, values={"who": "x"})).status == 403
    roles.of["alice"] = {"debug"}
    assert (await ended(carol, template, values={"who": "x"}))["Success"] is True


@pytest.mark.parametrize("change", ["role", "roles", "deleted", "command", "key"])
async def test_what_changes_before_a_job_is_picked_up_counts(start_host: StartHost, change: str) -> None:
    roles = Roles(alice={"debug"}, carol={"clerk"})
    host = await start_host(roles_resolver=roles, roles_cache_seconds=0)
    alice = await host.signed_in("debug")
    carol = await host.signed_in("clerk", user_id="carol")
    root = host.caller("site_admin", user_id="root", service=True)
    parameters = [*BODY["parameters"], {"name": "token", "type": "secret"}]
    template = await create(alice, parameters=parameters)
    path = f"/templates/{template['TemplateID']}"
    await root.request("POST", "/queue/pause")
    job_id = (await run(carol, template, values={"who": "x", "token": "hunter2"})).body["jobId"]
    body = {**BODY, "parameters": parameters}
    if change == "role":
        roles.of["carol"] = set()
    elif change == "roles":
        assert (await alice.request("PUT", path, json={**body, "runRoles": ["boss"]})).status == 200
    elif change == "deleted":
        assert (await alice.request("DELETE", path)).status == 200
    elif change == "command":
        assert (await alice.request("PUT", path, json={**body, "command": "id"})).status == 200
    else:
        await host.stop()
        (host.base_dir / "Secrets" / "values.key").unlink()
        host = await start_host(roles_resolver=roles, roles_cache_seconds=0)
        root = host.caller("site_admin", user_id="root", service=True)
        carol = await host.signed_in("clerk", user_id="carol")
    await root.request("POST", "/queue/resume")
    result = await carol.result(job_id)
    reason = {
        "role": "Your roles no longer allow you to run this template.",
        "roles": "Your roles no longer allow you to run this template.",
        "deleted": "The template of this job was deleted before the job ran.",
        "command": "The template of this job was changed before the job ran. Run it anew.",
        "key": "The secret values of this job cannot be decrypted",
    }[change]
    assert result["Status"] == "Rejected"
    assert result["Output"].startswith(f"[ERROR] {reason}")


@BOTH
async def test_a_change_that_is_none_to_the_command_lets_waiting_jobs_run(host: Host) -> None:
    alice, carol = host.caller("debug"), host.caller("clerk", user_id="carol")
    root = host.caller("site_admin", user_id="root")
    template = await create(alice)
    await root.request("POST", "/queue/pause")
    job_id = (await run(carol, template, values={"who": "x"})).body["jobId"]
    body = {**BODY, "name": "other", "runRoles": ["boss", "clerk"]}
    assert (await alice.request("PUT", f"/templates/{template['TemplateID']}", json=body)).status == 200
    await root.request("POST", "/queue/resume")
    assert (await carol.result(job_id))["Success"] is True


async def test_templates_survive_a_restart_and_one_edited_by_hand_is_not_used(start_host: StartHost) -> None:
    host = await start_host()
    kept, edited = await create(host.caller("debug")), await create(host.caller("debug"))
    await host.stop()
    path = host.base_dir / "Templates" / f"{edited['TemplateID']}.json"
    path.write_text(path.read_text().replace("hello", "evil"))
    host = await start_host()
    caller = host.caller("debug")
    listed = (await caller.request("GET", "/templates")).body["templates"]
    assert [each["TemplateID"] for each in listed] == [kept["TemplateID"]]
    assert (await ended(caller, kept, values={"who": "you"}))["Output"] == "hello you\n"


# --- notices


async def test_a_templates_notices_go_with_each_of_its_jobs(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host(webhook_allowed_hosts={"127.0.0.1"}, notice_max_attempts=1)
    author = host.caller("task_manager")
    rule = {"channel": "webhook", "url": "http://127.0.0.1:9/", "on": "always"}
    template = await create(author, notify=[rule])
    result = await ended(author, template, values={"who": "you"})
    assert [each["url"] for each in result["Notify"]] == [rule["url"]]
    notices = (await author.request("GET", f"/notices?jobId={result['JobID']}")).body["notices"]
    assert [notice["Target"] for notice in notices] == [rule["url"]]


async def test_a_template_cannot_ask_for_notices_that_cannot_be_sent(host: Host) -> None:
    rules = [{"channel": "email", "to": ["ops@example.org"]}]
    answer = await host.caller("task_manager").request("POST", "/templates", json={**BODY, "notify": rules})
    assert answer.status == 422
    assert answer.body["details"][0]["field"] == "notify.0.channel"
