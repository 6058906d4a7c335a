"""A pattern is compiled in bounded memory and time, away from the event loop, whoever sends it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aiohttp_jobs.system.derived_keys import InstallationKeys

from ..conftest import Answer, Caller, Host

BODY: dict[str, Any] = {"name": "t", "command": "true", "executionMode": "BackgroundJob"}


def parameters(patterns: list[str], **fields: Any) -> list[dict[str, Any]]:
    return [
        {"name": f"p{number}", "type": "string", "pattern": pattern, **fields}
        for number, pattern in enumerate(patterns)
    ]


async def make(caller: Caller, patterns: list[str], **fields: Any) -> Answer:
    body = {**BODY, "parameters": parameters(patterns, **fields)}
    return await caller.request("POST", "/templates", json=body)


async def test_fifty_huge_patterns_hold_up_nobody(host: Host) -> None:
    """One takes a quarter of a second to compile, with the interpreter's lock held, when memory allows."""
    for count, fields in (
        (50, {"parameters"}),
        (20, {f"parameters.{number}.pattern" for number in range(20)}),
    ):
        answer = await make(host.caller("debug"), [rf"\PN{{1,{999 - number}}}" for number in range(count)])
        assert (answer.status, answer.body["code"]) == (422, "invalid_fields")
        assert {fault["field"] for fault in answer.body["details"]} == fields


@pytest.mark.parametrize(
    "pattern",
    [
        r"\PN{1,999}",
        r"(?i)\PL{60}",
        r"(.*){1000}x",  # takes a second to match against 4,096 characters
        r"(?:[^a]{0,30}){30}",
        r"(?i)" + r"\PL" * 160,  # takes long to parse, before its size is known
        r"\p{^Lu}" * 70,
        r"(a{1000}){1000}",
        "x" * 501,
    ],
)
async def test_no_pattern_costs_more_than_a_few_milliseconds(host: Host, pattern: str) -> None:
    answer = await make(host.caller("task_manager"), [pattern])
    assert (answer.status, answer.body["code"]) == (422, "invalid_fields")
    assert [fault["field"] for fault in answer.body["details"]] == ["parameters.0.pattern"]


async def test_no_template_has_more_patterns_than_can_be_compiled_at_a_stroke(host: Host) -> None:
    answer = await make(host.caller("debug"), [f"[a-z]{{1,{number}}}" for number in range(1, 26)])
    assert (answer.status, answer.body["code"]) == (422, "invalid_fields")
    assert answer.body["error"].startswith("parameters must have at most 20 patterns")


@pytest.mark.parametrize(
    "pattern",
    [r".{1,255}", r"[^/]{1,255}", r"[A-Za-z0-9_-]{1,1000}", r"\pL+(?: \pL+)*", r"[\w.+-]+@[\w-]+(\.[\w-]+)+"],
)
async def test_patterns_that_people_write_are_taken(host: Host, pattern: str) -> None:
    assert (await make(host.caller("debug"), [pattern])).status == 201


async def test_a_default_that_its_pattern_does_not_match_is_refused(host: Host) -> None:
    answer = await make(host.caller("debug"), ["a+"], default="b")
    assert (answer.status, answer.body["error"]) == (422, "parameters.0 has a default that must match a+.")


async def test_a_template_that_was_kept_with_such_a_pattern_is_shown_and_says_why_it_does_not_run(
    host: Host,
) -> None:
    """Of an earlier version. Whoever may change it can mend it; nobody has the server compile it."""
    alice = host.caller("debug")
    made = (await make(alice, ["a+"])).body["template"]
    path = host.base_dir / "Templates" / f"{made['TemplateID']}.json"
    record = json.loads(path.read_text())
    record["Parameters"][0]["pattern"] = r"\PN{1,999}"
    signer = InstallationKeys(host.base_dir).signer("template.key")
    del record["Signature"]
    path.write_text(json.dumps(signer.sign(record)))

    shown = await alice.request("GET", f"/templates/{made['TemplateID']}")
    assert shown.body["template"]["Parameters"][0]["pattern"] == r"\PN{1,999}"
    run = {"values": {"p0": "aaa"}}
    answer = await alice.request("POST", f"/templates/{made['TemplateID']}/run", json=run)
    assert (answer.status, answer.body["code"]) == (422, "invalid_fields")
    assert "too large" in answer.body["error"]


async def test_values_are_measured_before_they_are_matched(host: Host) -> None:
    alice = host.caller("debug")
    made = (await make(alice, ["[a-z]*"] * 20)).body["template"]
    run = {"values": {f"p{number}": "x" * 4096 for number in range(20)}}
    answer = await alice.request("POST", f"/templates/{made['TemplateID']}/run", json=run)
    assert (answer.status, answer.body["details"][0]["field"]) == (422, "values")
