"""The document is valid OpenAPI 3.1, leaves no route out, and says what handlers really answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from aiohttp_jobs.http.openapi.document import described_routes

from ...conftest import Answer, Caller, Host

StartHost = Callable[..., Awaitable[Host]]
UNKNOWN = "00000000-0000-4000-8000-000000000000"
JOB: dict[str, Any] = {"jobName": "j", "command": "echo hi", "executionMode": "BackgroundJob"}
TEMPLATE: dict[str, Any] = {
    "name": "t",
    "command": "echo $PARAM_n",
    "executionMode": "BackgroundJob",
    "parameters": [{"name": "n", "type": "int", "minimum": 0, "default": 3}],
}
SCHEDULE: dict[str, Any] = {"name": "s", "cron": "@daily", "job": JOB}


async def document(caller: Caller) -> dict[str, Any]:
    answer = await caller.request("GET", "/openapi.json")
    assert answer.status == 200
    found: dict[str, Any] = answer.body
    return found


def assert_described(document: dict[str, Any], method: str, path: str, answer: Answer) -> None:
    """Raise ``AssertionError`` unless `answer` is what the document promises."""
    response = document["paths"][path][method]["responses"][str(answer.status)]
    media_type = answer.headers["Content-Type"].partition(";")[0]
    schema = response["content"][media_type]["schema"]
    rooted = {"components": document["components"], **schema}
    faults = [fault.message for fault in Draft202012Validator(rooted).iter_errors(answer.body)]
    assert not faults, (method, path, answer.body)


@pytest.mark.slow
async def test_the_document_is_valid_openapi(host: Host) -> None:
    found = await document(host.caller())
    assert found["openapi"] == "3.1.0"
    assert not list(OpenAPIV31SpecValidator(found).iter_errors())
    assert found["servers"] == [{"url": f"{host.config.prefix}/api/v1"}]


async def test_every_route_is_in_the_document(host: Host) -> None:
    found = await document(host.caller())
    (jobs_app,) = host.app._subapps
    served = {(route.method.lower(), route.path) for route in described_routes(jobs_app)}
    documented = {(method, path) for path, methods in found["paths"].items() for method in methods}
    assert served == documented
    assert len(served) > 20
    identifiers = [each["operationId"] for methods in found["paths"].values() for each in methods.values()]
    assert len(identifiers) == len(set(identifiers))


async def test_every_operation_and_parameter_is_described_and_every_body_has_a_valid_example(
    host: Host,
) -> None:
    found = await document(host.caller())
    bodies = 0
    for methods in found["paths"].values():
        for each in methods.values():
            assert each["summary"], each
            assert each["description"], each["operationId"]
            assert all(parameter["description"] for parameter in each.get("parameters", [])), each
            if "requestBody" in each:
                media = each["requestBody"]["content"]["application/json"]
                rooted = {"components": found["components"], **media["schema"]}
                assert not list(Draft202012Validator(rooted).iter_errors(media["example"])), each[
                    "operationId"
                ]
                bodies += 1
    assert bodies > 10


async def test_a_route_that_says_nothing_of_itself_is_noticed() -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/api/v1/undescribed", handler)
    with pytest.raises(LookupError, match="GET /undescribed needs @operation"):
        described_routes(app)


async def test_the_document_tells_this_hosts_limits(start_host: StartHost) -> None:
    host = await start_host(max_name_length=7, max_timeout=5000, session_cookie="my_session")
    found = await document(host.caller())
    fields = found["components"]["schemas"]["SubmitRequest"]["properties"]
    assert fields["jobName"]["maxLength"] == 7
    assert fields["command"]["x-maxBytes"] == host.config.max_command_bytes
    assert fields["timeoutSeconds"]["anyOf"][0]["maximum"] == 5000
    assert set(fields["interpreter"]["anyOf"][0]["enum"]) >= {"python", "shell"}
    assert found["components"]["securitySchemes"]["session"]["name"] == "my_session"
    assert "x-host-limit" not in str(found)


@pytest.mark.slow
async def test_the_document_tells_by_which_channels_notices_go(start_host: StartHost) -> None:
    mail = {"smtp_host": "localhost", "smtp_from": "jobs@example.org"}
    for settings, most, models in (
        ({}, 10, ["WebhookRule-Input"]),
        (mail, 10, ["EmailRule-Input", "WebhookRule-Input"]),
        ({**mail, "webhook_enabled": False}, 10, ["EmailRule-Input"]),
        ({"webhook_enabled": False}, 0, ["EmailRule-Input", "WebhookRule-Input"]),
    ):
        host = await start_host(**settings)
        found = await document(host.caller())
        rules = found["components"]["schemas"]["SubmitRequest"]["properties"]["notify"]
        references = [each["$ref"].rpartition("/")[2] for each in rules["items"]["oneOf"]]
        assert (rules["maxItems"], references) == (most, models), settings
        shown = found["components"]["schemas"]["JobResult"]["properties"]["Notify"]
        assert len(shown["items"]["oneOf"]) == 2  # results may be older than the settings


async def test_only_those_who_are_known_get_the_document(host: Host) -> None:
    for nobody in (host.stranger(), host.bearer("wrong")):
        answer = await nobody.request("GET", "/openapi.json")
        assert (answer.status, answer.body["code"]) == (401, "not_authenticated")
    assert (await (await host.signed_in()).request("GET", "/openapi.json")).status == 200


class Asking:
    """Asks, and raises ``AssertionError`` for an answer that `document` does not describe.

    `ids` are put into the paths.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self.ids = dict.fromkeys(("job", "schedule", "template", "key", "notice", "session"), UNKNOWN)

    async def __call__(self, who: Caller, method: str, template: str, status: int, **kwargs: Any) -> Any:
        path = re.sub(r"\{(\w+)Id\}", lambda match: self.ids[match[1]], template)
        answer = await who.request(method.upper(), path + kwargs.pop("query", ""), **kwargs)
        assert answer.status == status, (method, path, answer.body)
        assert_described(self._document, method, template, answer)
        return answer.body


async def test_what_handlers_answer_is_what_the_document_says(host: Host) -> None:
    caller, admin = host.caller("debug"), host.caller("site_admin", user_id="root")
    ask = Asking(await document(caller))
    ids = ask.ids
    made = await ask(caller, "post", "/schedules", 201, json=SCHEDULE)
    ids["schedule"] = made["schedule"]["ScheduleID"]
    retried = {**JOB, "command": "false", "retry": {"count": 1, "backoffSeconds": 0}}
    for body in (JOB, retried, {**JOB, "command": "sleep 60"}, {**JOB, "delaySeconds": 3600}):
        ids["job"] = (await ask(caller, "post", "/jobs/submit", 200, json=body))["jobId"]
        if "sleep" not in body["command"] and "delaySeconds" not in body:
            await caller.result(ids["job"])
            await ask(caller, "get", "/results/{jobId}", 200)
        for path in ("/jobs/{jobId}", "/jobs/{jobId}/attempts", "/jobs/{jobId}/output"):
            await ask(caller, "get", path, 200)
        await ask(caller, "get", "/queue", 200)
        await ask(admin, "get", "/jobs", 200, query="?scope=all")
    await ask(caller, "get", "/jobs", 200)
    await ask(caller, "post", "/jobs/{jobId}/cancel", 202)
    for path in ("/jobs/results", "/runspaces", "/schedules", "/schedules/{scheduleId}"):
        await ask(caller, "get", path, 200)
    await ask(caller, "get", "/schedules/{scheduleId}/next", 200)
    await ask(caller, "patch", "/schedules/{scheduleId}", 200, json={"enabled": False})
    await ask(caller, "delete", "/schedules/{scheduleId}", 200)
    await ask(caller, "get", "/schedules/{scheduleId}", 404)
    await ask(admin, "post", "/queue/pause", 200)
    await ask(admin, "post", "/queue/resume", 200)
    await ask(caller, "post", "/queue/pick-up", 202)
    for who, status in ((host.stranger(), 401), (host.caller(user_id="eve"), 403)):
        await ask(who, "post", "/jobs/submit", status, json=JOB)
    await ask(caller, "post", "/jobs/submit", 422, json={})
    await ask(caller, "post", "/jobs/submit", 400, data=b"{", headers={"Content-Type": "application/json"})
    await ask(caller, "post", "/jobs/submit", 415, data=b"{}")


async def test_what_templates_keys_notices_and_many_results_answer_is_what_it_says_too(host: Host) -> None:
    caller = await host.signed_in("debug")
    ask = Asking(await document(caller))
    ids = ask.ids
    template = await ask(caller, "post", "/templates", 201, json=TEMPLATE)
    ids["template"] = template["template"]["TemplateID"]
    ran = await ask(caller, "post", "/templates/{templateId}/run", 200, json={"values": {"n": 1}})
    await caller.result(ran["jobId"])
    ids["job"] = ran["jobId"]
    by_hand = {"X-Requested-With": "test"}
    again = await ask(caller, "post", "/jobs/{jobId}/rerun", 200, headers=by_hand)
    await caller.result(again["jobId"])
    await ask(caller, "get", "/results/{jobId}", 200)
    await ask(caller, "put", "/templates/{templateId}", 200, json={**TEMPLATE, "parameters": []})
    for path in ("/templates", "/templates/{templateId}", "/me", "/api-keys", "/results/stats"):
        await ask(caller, "get", path, 200)
    await ask(caller, "delete", "/templates/{templateId}", 200)
    key = await ask(caller, "post", "/api-keys", 201, json={"name": "k", "allowedIPs": ["10.0.0.0/8"]})
    ids["key"] = key["apiKey"]["KeyID"]
    await ask(caller, "patch", "/api-keys/{keyId}", 200, json={"enabled": False})
    await ask(caller, "delete", "/api-keys/{keyId}", 200)
    listed = await ask(caller, "get", "/sessions", 200)
    await ask(caller, "post", "/sessions/revoke", 200, json={"keepCurrent": True})
    await ask(await host.signed_in(user_id="eve"), "delete", "/sessions/{sessionId}", 404)
    await ask(caller, "get", "/results", 200, query="?q=hi&limit=1&status=Succeeded,Failed&from=2001-01-01")
    notified = {**JOB, "notify": [{"channel": "webhook", "url": "https://192.0.2.1/"}]}
    await ask(caller, "post", "/jobs/submit", 422, json=notified)
    await ask(caller, "get", "/notices", 200, query=f"?state=failed&jobId={UNKNOWN}")
    await ask(caller, "post", "/notices/{noticeId}/retry", 404, headers=by_hand)
    await ask(caller, "delete", "/notices/{noticeId}", 404)
    await ask(caller, "post", "/results/delete", 200, json={"filter": {"to": "2001-01-01"}})
    ids["session"] = listed["sessions"][0]["SessionID"]
    await ask(caller, "delete", "/sessions/{sessionId}", 200)
