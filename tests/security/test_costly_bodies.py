"""A megabyte that is made to be costly is refused at once, and its faults are not told one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aiohttp_jobs.errors import InvalidFieldsError, JobsError, MalformedJSONError, TooLargeError
from aiohttp_jobs.http.bodies import parse_model
from aiohttp_jobs.model.job import SubmitRequest
from aiohttp_jobs.model.template import TemplateRequest

from ..conftest import Host

MEGABYTE = 1024 * 1024
JOB: dict[str, Any] = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}


def filled(start: str, unit: str, end: str) -> bytes:
    """`unit` as often as it fits into a megabyte, but for the last comma."""
    count = (MEGABYTE - len(start) - len(end)) // len(unit)
    return (start + (unit * count).rstrip(",") + end).encode()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (filled('{"a":[', "0,", "]}"), TooLargeError),
        (filled('{"a":[', "[],", "]}"), TooLargeError),
        (filled('{"a":[', "{},", "]}"), TooLargeError),
        (filled('{"a":[', '"",', "]}"), TooLargeError),
        (filled('{"retry":{"count":1,"on":[', "0,", "]}}"), TooLargeError),  # took seven seconds
        (b"{" + b",".join(b'"k%d":0' % number for number in range(80_000)) + b"}", TooLargeError),
        (b'{"a":' + b"[" * (MEGABYTE - 5), MalformedJSONError),
        (b'{"a":"' + b'\\"' * (MEGABYTE // 2 - 10), MalformedJSONError),
        (b'"' * (MEGABYTE - 1), TooLargeError),
        (filled('{"a":[', "9" * 4200 + ",", "]}"), MalformedJSONError),
        (b'{"retry":{"count":1,"on":[' + b"0," * 10_000 + b"0]}}", InvalidFieldsError),
        (b'{"notify":' + json.dumps([{}] * 900).encode() + b"}", InvalidFieldsError),
        (json.dumps({f"k{number}": 0 for number in range(201)}).encode(), InvalidFieldsError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else value[:40].decode(),
)
def test_no_megabyte_of_small_things_is_gone_through(body: bytes, error: type[JobsError]) -> None:
    with pytest.raises(error):
        parse_model(body, SubmitRequest)


async def test_faults_are_told_up_to_a_number_and_a_length(host: Host) -> None:
    alice = host.caller("debug")
    many = {**JOB, **{f"{'k' * 4000}{number}": 0 for number in range(100)}}
    answer = await alice.request("POST", "/jobs/submit", json=many)
    assert (answer.status, len(answer.body["details"])) == (422, 20)
    assert max(len(fault["field"]) for fault in answer.body["details"]) < 600
    assert len(answer.body["error"]) < 5000
    few = {**JOB, **{f"k{number}": 0 for number in range(25)}}
    assert (await alice.request("POST", "/jobs/submit", json=few)).body["error"].endswith("; and 5 more.")


@pytest.mark.parametrize(
    "command",
    [lambda: "x" * 250_000, lambda: ",[]{}:" * 40_000, lambda: '\\"' * 100_000, lambda: "é\n" * 80_000],
)
async def test_a_long_command_is_no_such_body(host: Host, command: Callable[[], str]) -> None:
    await host.caller("site_admin", user_id="root").request("POST", "/queue/pause")
    answer = await host.caller("debug").request("POST", "/jobs/submit", json={**JOB, "command": command()})
    assert answer.status == 200, answer.body


def test_the_largest_template_is_no_such_body() -> None:
    choices = [f"choice {number}" for number in range(200)]
    parameters = [{"name": f"p{number}", "type": "choice", "choices": choices} for number in range(50)]
    body = json.dumps({"name": "t", **JOB, "parameters": parameters}).encode()
    template = parse_model(body.replace(b'"jobName": "j", ', b""), TemplateRequest)
    assert len(template.parameters) == 50
