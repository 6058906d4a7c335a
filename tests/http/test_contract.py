"""Every error of the HTTP contract: its status and code, a sentence, and never a job lost over it.

What is refused before an engine is asked for more than who asks is tried with one of them.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..conftest import Answer, Caller, Host
from ..engines import BOTH
from ..gate import Gate

StartHost = Callable[..., Awaitable[Host]]
JOB: dict[str, Any] = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
JSON = {"Content-Type": "application/json"}


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in JOB.items() if name != field}


async def send(caller: Caller, data: bytes, headers: dict[str, str] = JSON) -> Answer:
    return await caller.request("POST", "/jobs/submit", data=io.BytesIO(data), headers=headers)


def assert_refused(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer.body
    assert answer.body["success"] is False
    assert answer.body["code"] == code
    assert answer.body["error"][0].isupper() or answer.body["error"][0].islower()
    assert "Traceback" not in json.dumps(answer.body)
    assert answer.headers["Cache-Control"] == "no-store"


@BOTH
async def test_bad_bodies_cost_nobody_a_job(host: Host) -> None:
    caller = host.caller("debug")
    before = await caller.submit("sleep 0.3; echo before")
    nested = b'{"jobName": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    for data, status, code in (
        (b"{", 400, "malformed_json"),
        (b"", 400, "malformed_json"),
        (b"\xff\xfe{}", 400, "malformed_json"),
        (nested, 400, "malformed_json"),
        (b"[]", 422, "invalid_fields"),
        (b'"text"', 422, "invalid_fields"),
        (b"null", 422, "invalid_fields"),
        (json.dumps({**JOB, "command": "x" * 10_000_000}).encode(), 413, "too_large"),
        (json.dumps({**JOB, "command": "x" * 300_000}).encode(), 413, "too_large"),
        (
            b'{"jobName":"j","command":"true","executionMode":"Runspace","timeoutSeconds":NaN}',
            422,
            "invalid_fields",
        ),
        (
            b'{"jobName":"j","command":"true","executionMode":"Runspace","timeoutSeconds":1e999}',
            422,
            "invalid_fields",
        ),
        (b'{"jobName":"\\ud800","command":"true","executionMode":"Runspace"}', 422, "invalid_fields"),
    ):
        assert_refused(await send(caller, data), status, code)
    assert (await caller.run("echo after"))["Output"] == "after\n"
    assert (await caller.result(before))["Output"] == "before\n"


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    # a body, and its field at fault
    (without("jobName"), "jobName"),
    (without("command"), "command"),
    (without("executionMode"), "executionMode"),
    ({**JOB, "jobName": ""}, "jobName"),
    ({**JOB, "jobName": "  "}, "jobName"),
    ({**JOB, "jobName": "a\nb"}, "jobName"),
    ({**JOB, "jobName": "x" * 101}, "jobName"),
    ({**JOB, "jobName": 5}, "jobName"),
    ({**JOB, "command": ""}, "command"),
    ({**JOB, "command": "a\0b"}, "command"),
    ({**JOB, "command": None}, "command"),
    ({**JOB, "command": ["true"]}, "command"),
    ({**JOB, "description": "x" * 2001}, "description"),
    ({**JOB, "description": "a\0b"}, "description"),
    ({**JOB, "executionMode": "mainloop"}, "executionMode"),
    ({**JOB, "executionMode": {}}, "executionMode"),
    ({**JOB, "interpreter": "perl"}, "interpreter"),
    ({**JOB, "timeoutSeconds": 0}, "timeoutSeconds"),
    ({**JOB, "timeoutSeconds": -1}, "timeoutSeconds"),
    ({**JOB, "timeoutSeconds": "5"}, "timeoutSeconds"),
    ({**JOB, "timeoutSeconds": True}, "timeoutSeconds"),
    ({**JOB, "timeoutSeconds": 10**9}, "timeoutSeconds"),
    ({**JOB, "timeoutSecs": 5}, "timeoutSecs"),
    ({**JOB, "concurrencyKey": ""}, "concurrencyKey"),
    ({**JOB, "runAt": "tomorrow"}, "runAt"),
    ({**JOB, "runAt": "2030-01-01T00:00:00"}, "runAt"),
    ({**JOB, "runAt": "9999-12-31T23:59:59-14:00"}, "runAt"),
    ({**JOB, "delaySeconds": -1}, "delaySeconds"),
    ({**JOB, "retry": {"count": 0}}, "retry.count"),
    ({**JOB, "retry": {"count": 1, "on": ["Succeeded"]}}, "retry.on.0"),
]


async def test_a_bad_field_is_named(host: Host) -> None:
    caller = host.caller("debug")
    for body, field in BAD_FIELDS:
        answer = await caller.request("POST", "/jobs/submit", json=body)
        assert_refused(answer, 422, "invalid_fields")
        assert field in [fault["field"] for fault in answer.body["details"]], (body, answer.body)
        assert all(fault["message"] for fault in answer.body["details"]), (body, answer.body)


WRONG: list[tuple[dict[str, Any], str]] = [
    # what is wrong beside what is right, and the sentence about it
    ({"concurrencyKey": ""}, "concurrencyKey must not be empty."),
    ({"concurrencyKey": "k" * 201}, "concurrencyKey must have at most 200 characters."),
    ({"retry": {"count": 1, "on": []}}, "retry.on must not be empty."),
    ({"jobName": None}, "jobName must be a text."),
    ({"executionMode": "Cloud"}, "executionMode must be 'MainLoop', 'Runspace' or 'BackgroundJob'."),
    ({"priority": 10}, "priority must be less than or equal to 9."),
    ({"priority": 1.5}, "priority must be a whole number."),
    ({"colour": "red"}, "colour is not a field here; check its spelling."),
    (
        {"runAt": "2100-01-01T00:00:00Z", "delaySeconds": 5},
        "body must not have both runAt and delaySeconds.",
    ),
    ({"notify": [{"to": ["ops@example.org"]}]}, "notify.0 must have the field 'channel'."),
    ({"notify": [{"channel": "fax"}]}, "notify.0 must have one of 'email', 'webhook' as its 'channel'."),
    ({"notify": [{"channel": "webhook"}]}, "notify.0.webhook.url is required."),
    ({"notify": "ops"}, "notify must be a list."),
    (
        {"notify": [{"channel": "webhook", "url": "http://xn--/"}]},
        "notify.0.webhook.url must be an address such as 'https://example.org/hook'.",
    ),
    (
        {"notify": [{"channel": "email", "to": ["ops"]}]},
        "notify.0.email.to.0 must be an e-mail address such as 'ops@example.org'.",
    ),
    (
        {"notify": [{"channel": "email", "to": ["a@b.org"] * 21}]},
        "notify.0.email.to must have at most 20 entries.",
    ),
]


async def test_what_is_wrong_is_said_once_and_in_words(host: Host) -> None:
    caller = host.caller("debug")
    for fields, error in WRONG:
        answer = await caller.request("POST", "/jobs/submit", json={**JOB, **fields})
        assert (answer.status, answer.body["error"]) == (422, error)


async def test_only_json_is_taken(host: Host) -> None:
    caller = host.caller("debug")
    data = json.dumps(JOB).encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "text/json"):
        assert_refused(await send(caller, data, {"Content-Type": content_type}), 415, "not_json")
    charset = {"Content-Type": "application/json; charset=utf-8"}
    assert (await send(caller, data, charset)).status == 200


@pytest.mark.slow
async def test_a_compressed_bomb_and_a_broken_one_are_refused(host: Host) -> None:
    caller = host.caller("debug")
    # aiohttp drops the connection after such a body, so it is not to be used again.
    zipped = {**JSON, "Content-Encoding": "gzip", "Connection": "close"}
    bomb = gzip.compress(b'{"a":"' + b"x" * 50_000_000 + b'"}')
    assert (await send(caller, bomb, zipped)).status in (400, 413)
    assert (await send(caller, b"not gzip at all", zipped)).status == 400
    assert (await caller.run("true"))["Success"] is True


async def test_nobody_is_let_in_unproven(host: Host) -> None:
    for caller in (host.stranger(), host.bearer("wrong")):
        for method, path in (
            ("POST", "/jobs/submit"),
            ("GET", "/jobs/results"),
            ("DELETE", f"/jobs/results?jobId={UNKNOWN}"),
            ("GET", "/jobs"),
            ("GET", f"/jobs/{UNKNOWN}/events"),
            ("GET", "/nothing/here"),
        ):
            assert_refused(await caller.request(method, path), 401, "not_authenticated")


async def test_whoever_may_not_submit_learns_only_that(host: Host) -> None:
    viewer = host.caller()
    for mode, words in (
        ("MainLoop", "MainLoop execution mode requires 'debug' role"),
        ("Runspace", "Runspace execution mode requires elevated roles"),
        ("BackgroundJob", "BackgroundJob execution mode requires elevated roles"),
    ):
        answer = await viewer.request("POST", "/jobs/submit", json={**JOB, "executionMode": mode})
        assert_refused(answer, 403, "forbidden")
        assert answer.body["error"].startswith(words)
    assert_refused(await send(viewer, b"{"), 403, "forbidden")
    assert await viewer.results() == []


async def test_max_results_out_of_range_is_refused(host: Host) -> None:
    caller = host.caller()
    for value in ("0", "x", "1001", "-1", "1.5", "", " 5", "٣", "1e2", "99999999999999"):
        answer = await caller.request("GET", "/jobs/results", params={"maxResults": value})
        assert_refused(answer, 422, "invalid_fields")


@BOTH
async def test_only_ones_own_ended_jobs_results_are_deleted(host: Host) -> None:
    alice, bob = host.caller("debug"), host.caller("debug", user_id="bob")
    ended = (await alice.run("true"))["JobID"]
    running = await alice.submit("sleep 60")
    for caller, query, status, code in (
        (alice, "", 422, "invalid_fields"),
        (alice, "?jobId=", 422, "invalid_fields"),
        (alice, "?jobId=not-a-uuid", 422, "invalid_fields"),
        (alice, "?jobId=../../../etc/passwd", 422, "invalid_fields"),
        (alice, f"?jobId={UNKNOWN}", 404, "not_found"),
        (alice, f"?jobId={running}", 409, "conflict"),
        (bob, f"?jobId={ended}", 403, "forbidden"),
        (bob, f"?jobId={running}", 403, "forbidden"),
    ):
        assert_refused(await caller.request("DELETE", f"/jobs/results{query}"), status, code)
    answer = await alice.request("DELETE", f"/jobs/results?jobId={ended.upper()}")
    assert answer.body == {"success": True, "message": "Job result deleted successfully"}


async def test_unknown_addresses_and_methods_are_answered_as_json(host: Host) -> None:
    caller = host.caller("debug")
    assert_refused(await caller.request("GET", "/nothing"), 404, "not_found")
    refused = await caller.request("PUT", "/jobs/results")
    assert_refused(refused, 405, "method_not_allowed")
    assert set(refused.headers["Allow"].split(",")) >= {"GET", "DELETE"}


@BOTH
async def test_a_user_id_that_looks_like_a_path_is_one_as_any(host: Host) -> None:
    result = await host.caller("debug", user_id="../../etc").run("echo hi")
    assert (result["UserID"], result["Output"]) == ("../../etc", "hi\n")


@BOTH
async def test_too_many_waiting_jobs_are_refused_and_those_accepted_run(
    start_host: StartHost, tmp_path: Path
) -> None:
    host = await start_host(max_pending_per_user=3, max_parallel_background=1)
    caller = host.caller("debug")
    gate = Gate(tmp_path / "gate")
    first = await caller.submit(gate.shell)
    await gate.reached()
    accepted, refused = [], []
    for _ in range(8):
        answer = await caller.request("POST", "/jobs/submit", json=JOB)
        (accepted if answer.status == 200 else refused).append(answer)
    assert (len(accepted), len(refused)) == (3, 5)
    assert_refused(refused[0], 429, "too_many_pending")
    other = host.caller("debug", user_id="bob")
    assert (await other.request("POST", "/jobs/submit", json=JOB)).status == 200
    gate.open()
    for job_id in [first, *(answer.body["jobId"] for answer in accepted)]:
        assert (await caller.result(job_id))["Success"] is True


@BOTH
async def test_a_server_that_shuts_down_takes_no_more_jobs(host: Host) -> None:
    caller = host.caller("debug")
    for jobs_app in host.app._subapps:
        await jobs_app.shutdown()
    answer = await caller.request("POST", "/jobs/submit", json=JOB)
    assert_refused(answer, 503, "shutting_down")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # psycopg's pool does, in its own thread
@BOTH
@pytest.mark.slow
async def test_no_json_whatever_makes_the_server_fail(host: Host) -> None:
    caller = host.caller("debug")
    assert (await host.caller("site_admin").request("POST", "/queue/pause")).status == 200
    bodies: list[bytes] = []
    keys = st.sampled_from([*JOB, "description", "interpreter", "timeoutSeconds", "retry", "runAt"])

    @settings(max_examples=120, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(keys | st.text(max_size=5), json_values, max_size=6) | json_values)
    def collect(value: Any) -> None:
        bodies.append(json.dumps(value).encode())

    collect()
    statuses = {(await send(caller, body)).status for body in bodies}
    assert statuses <= {200, 400, 413, 422}
    assert 422 in statuses
