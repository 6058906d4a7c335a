"""``/api/v1/functions`` as its users meet it: who sees and runs what, and what bad input is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from threading import get_ident
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from aiohttp_jobs import ConfigurationError, EmailRule, Functions, RetryPolicy, Trigger, WebhookRule

from ..conftest import Answer, Caller, Host
from ..engines import BOTH
from ..functions import sample

StartHost = Callable[..., Awaitable[Host]]
LATER = {"delaySeconds": 3600}


@pytest.fixture
async def host(start_host: StartHost) -> Host:
    return await start_host(functions=sample.jobs)


async def run(caller: Caller, name: str, values: dict[str, Any] | None = None, **fields: Any) -> Answer:
    return await caller.request("POST", f"/functions/{name}/run", json={"values": values or {}, **fields})


async def accepted(caller: Caller, name: str, values: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """How a job of it is shown that must be accepted, and is not due yet."""
    answer = await run(caller, name, values, **{**LATER, **fields})
    assert answer.status == 200, answer.body
    shown = await caller.request("GET", f"/jobs/{answer.body['jobId']}")
    job: dict[str, Any] = shown.body["job"]
    return job


async def names(caller: Caller) -> dict[str, list[str]]:
    answer = await caller.request("GET", "/functions")
    assert answer.body["count"] == len(answer.body["functions"])
    return {each["Name"]: each["Modes"] for each in answer.body["functions"]}


# --- what is shown, and to whom


async def test_a_function_is_shown_with_all_that_a_form_needs(host: Host) -> None:
    answer = await host.caller("librarian").request("GET", "/functions/rebuild")
    assert answer.status == 200
    shown = answer.body["function"]
    schema = shown.pop("Schema")
    assert (schema["required"], schema["additionalProperties"]) == (["index"], False)
    assert shown == {
        "Name": "rebuild",
        "Title": "Rebuild the search index",
        "Description": "Read all rows again and write the index anew.",
        "Modes": ["Runspace", "BackgroundJob"],
        "Roles": ["librarian"],
        "TimeoutSeconds": 600,
        "ConcurrencyKey": "index",
        "Priority": None,
        "Labels": [],
        "OldNames": ["reindex"],
        "Schedule": None,
        "Parameters": [
            {
                "name": "index",
                "type": "choice",
                "choices": ["users", "orders"],
                "description": "Which one.",
                "required": True,
                "nullable": False,
                "default": None,
                "allowLeadingDash": True,
            },
            {
                "name": "since",
                "type": "date",
                "description": "",
                "required": False,
                "nullable": True,
                "default": None,
                "allowLeadingDash": True,
            },
            {
                "name": "dry_run",
                "type": "bool",
                "description": "",
                "required": False,
                "nullable": False,
                "default": False,
                "allowLeadingDash": True,
            },
        ],
    }


@pytest.mark.parametrize("path", ["/functions/watched", "/functions"])
async def test_a_schema_is_made_beside_the_event_loop(start_host: StartHost, path: str) -> None:
    makers: list[int] = []

    async def watched(number: int) -> None: ...

    watched.__annotations__["number"] = Annotated[
        int, Field(json_schema_extra=lambda _schema: makers.append(get_ident()))
    ]
    functions = Functions()
    functions.function(mode="MainLoop")(watched)
    host = await start_host(functions=functions)
    makers.clear()  # there is nobody to hold up before it has started
    assert (await host.caller("debug").request("GET", path)).status == 200
    assert makers
    assert get_ident() not in makers


async def test_everybody_sees_what_they_may_run_in_the_modes_that_are_theirs(host: Host) -> None:
    both = ["Runspace", "BackgroundJob"]
    for roles, seen in (
        ((), {"greet": ["MainLoop"]}),
        (("viewer",), {"greet": ["MainLoop"]}),
        (("librarian",), {"rebuild": both, "greet": ["MainLoop"]}),
        (("task_manager",), {"greet": ["MainLoop"], "login": ["BackgroundJob"], "report": ["BackgroundJob"]}),
        (
            ("debug",),
            {"greet": ["MainLoop"], "login": ["BackgroundJob", "MainLoop"], "report": ["BackgroundJob"]},
        ),
    ):
        assert await names(host.caller(*roles)) == seen, roles


async def test_the_right_to_submit_is_needed_where_a_function_names_no_roles(start_host: StartHost) -> None:
    host = await start_host(functions=sample.jobs, endpoint_roles={"submit": ["clerk"]})
    assert set(await names(host.caller("debug"))) == {"greet"}
    assert set(await names(host.caller("debug", "clerk"))) == {"greet", "login", "report"}


async def test_a_host_without_functions_has_an_empty_list(start_host: StartHost) -> None:
    assert await names((await start_host()).caller("debug")) == {}


async def test_it_is_found_by_an_old_name_too(host: Host) -> None:
    librarian = host.caller("librarian")
    assert (await librarian.request("GET", "/functions/reindex")).body["function"]["Name"] == "rebuild"
    job = await accepted(librarian, "reindex", {"index": "users"})
    assert job["Function"] == "rebuild"


# --- running


async def test_a_job_keeps_what_it_was_given_and_shows_the_call(host: Host) -> None:
    librarian = host.caller("librarian")
    values = {"index": "users", "since": "2026-01-31", "dry_run": True}
    job = await accepted(librarian, "rebuild", values)
    assert job["Command"] == "rebuild(index='users', since='2026-01-31', dry_run=True)"
    assert (job["Function"], job["FunctionValues"]) == ("rebuild", values)
    assert (job["JobName"], job["ExecutionMode"]) == ("Rebuild the search index", "Runspace")
    assert (job["TimeoutSeconds"], job["ConcurrencyKey"], job["Interpreter"]) == (600, "index", "python")
    assert "ConcurrencyOwner" not in job


async def test_a_run_may_say_how_it_is_to_run(host: Host) -> None:
    retry = {"count": 2, "backoffSeconds": 5.0, "backoffFactor": 1.0, "on": ["Failed"]}
    fields = {
        "executionMode": "BackgroundJob",
        "jobName": "by hand",
        "description": "since it is broken",
        "priority": 3,
        "timeoutSeconds": 5.0,
        "retry": retry,
    }
    job = await accepted(host.caller("librarian"), "rebuild", {"index": "users"}, **fields)
    shown = ("ExecutionMode", "JobName", "Description", "Priority", "TimeoutSeconds", "Retry")
    assert [job[name] for name in shown] == list(fields.values())


async def test_long_values_are_kept_and_the_call_is_cut(host: Host) -> None:
    job = await accepted(host.caller("task_manager"), "report", {"rows": [1] * 900, "price": "1.10"})
    assert len(job["Command"]) < 2010
    assert job["FunctionValues"] == {"rows": [1] * 900, "price": "1.10"}


BAD_INPUT: list[tuple[dict[str, Any], dict[str, str | None]]] = [
    # fields of a run, and what is told of each that is at fault, if that is looked at
    (
        {"values": {"index": "other", "when": 1}},
        {
            "values.when": "is not a parameter of this function",
            "values.index": "must be 'users' or 'orders'",
        },
    ),
    ({"values": {}}, {"values.index": "is required"}),
    (
        {"executionMode": "MainLoop"},
        {"executionMode": "must be one of this function's: Runspace, BackgroundJob"},
    ),
    ({"timeoutSeconds": 1e9}, {"timeoutSeconds": "must be at most 86400"}),
    ({"jobName": "x" * 101}, {"jobName": "must have at most 100 characters"}),
    ({"notify": [{"channel": "email", "to": ["a@b.org"]}]}, {"notify.0.channel": None}),
    ({"command": "true"}, {"command": "is not a field here; check its spelling"}),
    ({"delaySeconds": 1.0, "runAt": "2030-01-01T00:00:00Z"}, {"body": None}),
]


async def test_bad_input_is_told_by_field_and_costs_no_job(host: Host) -> None:
    librarian = host.caller("librarian")
    for fields, details in BAD_INPUT:
        body = {"values": {"index": "users"}, **fields}
        answer = await librarian.request("POST", "/functions/rebuild/run", json=body)
        assert (answer.status, answer.body["code"]) == (422, "invalid_fields"), (fields, answer.body)
        told = {fault["field"]: fault["message"] for fault in answer.body["details"]}
        assert {field: text and told[field] for field, text in details.items()} == details
    assert (await librarian.request("GET", "/jobs")).body["count"] == 0


async def test_a_mode_that_is_not_the_callers_is_refused(host: Host) -> None:
    answer = await run(
        host.caller("task_manager"), "login", {"user": "a", "password": "12345"}, executionMode="MainLoop"
    )
    assert (answer.status, answer.body["error"]) == (
        403,
        "Your roles do not allow you to run login in MainLoop.",
    )


async def test_a_priority_above_the_callers_is_refused(host: Host) -> None:
    answer = await run(host.caller("librarian"), "rebuild", {"index": "users"}, priority=9)
    assert answer.status == 403


async def test_another_type_of_content_is_refused(host: Host) -> None:
    answer = await host.caller("librarian").request("POST", "/functions/rebuild/run", data=b"index=users")
    assert answer.status == 415


# --- again


@BOTH
async def test_a_job_is_run_again_with_the_same_values(host: Host) -> None:
    librarian = host.caller("librarian")
    fields = {"executionMode": "BackgroundJob", "jobName": "by hand", "timeoutSeconds": 5.0}
    first = await accepted(librarian, "rebuild", {"index": "orders"}, **fields)
    await librarian.request("POST", "/queue/pause")
    answer = await librarian.request("POST", f"/jobs/{first['JobID']}/rerun")
    assert answer.status == 200, answer.body
    result = await librarian.result(answer.body["jobId"])
    same = ("JobName", "Function", "FunctionValues", "ExecutionMode", "Command")
    assert [result[name] for name in same] == [first[name] for name in same]


async def test_it_is_not_run_again_by_who_may_not_run_it_or_with_secrets(host: Host) -> None:
    librarian, clerk = host.caller("librarian"), host.caller("task_manager")
    root = host.caller("site_admin", user_id="root")
    job = await accepted(librarian, "rebuild", {"index": "orders"})
    secret = await accepted(clerk, "login", {"user": "a", "password": "correct horse"})
    refused = await root.request("POST", f"/jobs/{job['JobID']}/rerun")
    assert (refused.status, refused.body["code"]) == (409, "conflict")
    assert "gone, or is not yours" in refused.body["error"]
    refused = await clerk.request("POST", f"/jobs/{secret['JobID']}/rerun")
    assert refused.status == 409
    assert "POST /functions/login/run" in refused.body["error"]


# --- a function that the configuration does not allow


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"timeout": 1e9}, "The function greet cannot run here: timeoutSeconds must be at most 86400"),
        (
            {"title": "x" * 101},
            "The function greet cannot run here: title must have at most 100 characters",
        ),
        ({"title": "a\nb"}, "The function greet cannot run here: "),
    ],
)
async def test_it_is_told_at_the_start(start_host: StartHost, options: dict[str, Any], why: str) -> None:
    jobs = Functions()
    jobs.function(mode="MainLoop", **options)(sample.greet.plain)
    with pytest.raises(ConfigurationError, match=why):
        await start_host(functions=jobs)


@BOTH
async def test_how_a_function_is_tried_again_and_told_of_is_its_own_unless_a_run_says_so(
    start_host: StartHost,
) -> None:
    jobs = Functions()
    retry = RetryPolicy(count=3, backoff_seconds=1.0)
    notify = (WebhookRule(channel="webhook", url="https://example.org/hook", on=(Trigger.FAILURE,)),)
    jobs.function(mode="MainLoop", roles={"authenticated"}, retry=retry, notify=notify, priority=7)(
        sample.greet.plain
    )
    caller = (await start_host(functions=jobs)).caller()
    own = await accepted(caller, "greet", {"name": "ann"})
    assert (own["Retry"]["count"], own["Notify"][0]["url"], own["Priority"]) == (3, notify[0].url, 7)
    other = await accepted(caller, "greet", {"name": "ann"}, retry=None, notify=[], priority=2)
    assert (other["Retry"], other["Notify"], other["Priority"]) == (None, [], 2)


async def test_a_notice_that_cannot_be_sent_from_here_is_told_at_the_start(start_host: StartHost) -> None:
    jobs = Functions()
    rule = EmailRule(channel="email", to=("ops@example.org",))
    jobs.function(mode="MainLoop", notify=(rule,))(sample.greet.plain)
    with pytest.raises(ConfigurationError, match=r"greet cannot run here: .*no mail server is set up"):
        await start_host(functions=jobs)


async def test_the_document_describes_them(host: Host) -> None:
    document = (await host.caller().request("GET", "/openapi.json")).body
    [name] = document["paths"]["/functions/{name}"]["get"]["parameters"]
    assert name["schema"]["pattern"] == "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
    shown = (await host.caller("librarian", "debug").request("GET", "/functions")).body
    described = {**document, "$ref": "#/components/schemas/FunctionsAnswer"}
    assert shown["count"] == 4
    assert [error.message for error in Draft202012Validator(described).iter_errors(shown)] == []
    wrong = {**shown, "functions": [{**shown["functions"][0], "Name": 5, "More": 1}]}
    assert len(list(Draft202012Validator(described).iter_errors(wrong))) == 2


async def test_its_json_schema_takes_what_it_takes(host: Host) -> None:
    caller = host.caller("librarian", "debug")
    for name, good, bad in (
        ("rebuild", {"index": "users", "since": None, "dry_run": True}, {"index": "users", "dry_run": 1}),
        ("report", {"rows": [1], "price": "1.10", "pages": {"first": 1}}, {"rows": [-1], "price": 1}),
        ("login", {"user": "ann", "password": "correct horse"}, {"user": "ann", "what": 1}),
    ):
        schema = (await caller.request("GET", f"/functions/{name}")).body["function"]["Schema"]
        Draft202012Validator.check_schema(schema)
        for values, status in ((good, 200), (bad, 422)):
            assert Draft202012Validator(schema).is_valid(values) is (status == 200)
            assert (await run(caller, name, values, **LATER)).status == status
