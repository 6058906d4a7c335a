"""Triggers from the command line: what it prints is what a sender is given."""

from __future__ import annotations

import json

from ..conftest import Host
from ..http.test_triggers import GITHUB_PUSH, Sender, template_of
from .command import access_to, run


async def test_a_trigger_is_added_listed_rotated_and_removed(host: Host) -> None:
    env, alice = access_to(host, "task_manager"), host.caller("task_manager")
    template_id = await template_of(alice)

    async def ok(*arguments: str) -> str:
        code, out, err = await run("trigger", *arguments, env=env)
        assert (code, err) == (0, "")
        return out

    given = ("--path", "what=repository.full_name", "--value", "who=a=b", "--value", "count=7")
    only = ("--only", "ref=refs/heads/main", "--only", "repository.private=false")
    out = await ok("add", "deploy", "--name", "push", "--proof", "github", *given, *only)
    trigger_id, path, secret = (line.rpartition(" ")[2] for line in out.splitlines())
    answer = await Sender(host, path, secret).github(GITHUB_PUSH)
    assert (await alice.result(answer.body["jobId"]))["Output"] == "Codertocat/Hello-World a=b 7\n"

    shown = await ok("list", template_id)
    assert (trigger_id in shown, "push" in shown, path in shown, secret in shown) == (True, True, True, False)
    (record,) = json.loads(await ok("list", "deploy", "--json"))
    assert record["Values"] == {"who": "a=b", "count": 7}
    assert [each["equals"] for each in record["Only"]] == ["refs/heads/main", False]

    assert await ok("disable", trigger_id) == "push is off.\n"
    assert (await Sender(host, path, secret).github(GITHUB_PUSH)).status == 403
    assert json.loads(await ok("enable", trigger_id, "--json"))["Enabled"] is True
    rotated = json.loads(await ok("rotate", trigger_id, "--json"))["secret"]
    assert (await Sender(host, path, secret).github(GITHUB_PUSH)).status == 401
    assert (await Sender(host, path, rotated).github(GITHUB_PUSH)).status == 200
    assert await ok("remove", trigger_id) == "The trigger is removed.\n"
    assert json.loads(await ok("list", "deploy", "--json")) == []


async def test_what_a_trigger_cannot_be_is_said(host: Host) -> None:
    env = access_to(host, "task_manager")
    await template_of(host.caller("task_manager"))
    add = ("trigger", "add", "deploy", "--name", "x", "--proof", "bearer", "--path")
    for path, said in (("what", "--path needs NAME=VALUE"), ("whom=ref", "paths.whom is not a parameter")):
        code, out, err = await run(*add, path, env=env)
        assert (code != 0, out) == (True, "")
        assert said in err
