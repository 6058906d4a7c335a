"""The protocol's own SDK drives a host over a real socket, in both ways in which it can connect."""

from __future__ import annotations

import runpy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ...conftest import Caller, Host
from ...engines import BOTH
from ...functions.sample import jobs as functions

if TYPE_CHECKING:
    from mcp import Client

ROOT = Path(__file__).parents[3]
StartHost = Callable[..., Awaitable[Host]]
TEMPLATE: dict[str, Any] = {
    "name": "Greet somebody!",
    "description": "says hello",
    "command": 'echo "hello $PARAM_who"',
    "executionMode": "BackgroundJob",
    "parameters": [
        {"name": "who", "type": "string", "required": True, "description": "whom", "pattern": "[a-z]+"},
        {"name": "times", "type": "int", "minimum": 1, "maximum": 3, "default": 1},
    ],
    "runRoles": ["clerk"],
}
EVERYBODYS = {
    "watch_job",
    "get_job",
    "read_output",
    "list_jobs",
    "cancel_job",
    "search_results",
    "delete_results",
}


@asynccontextmanager
async def agent(host: Host, caller: Caller, mode: str = "auto") -> AsyncIterator[Client]:
    """The SDK's client with `caller`'s API key."""
    # Half a second, which each of the tests' processes would spend to collect the tests.
    from mcp import Client  # noqa: PLC0415
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415
    from mcp.shared._httpx_utils import create_mcp_http_client  # noqa: PLC0415

    key = caller.session.headers["Authorization"]
    async with create_mcp_http_client({"Authorization": key}) as http:
        address = f"{host.address}{host.config.prefix}/mcp"
        async with Client(streamable_http_client(address, http_client=http), mode=mode) as client:
            yield client


def refused() -> type[Exception]:
    """What the SDK's client raises."""
    from mcp import MCPError  # noqa: PLC0415

    return MCPError


async def called(client: Client, name: str, /, **arguments: Any) -> dict[str, Any]:
    """What a tool that must succeed answers."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    found: dict[str, Any] = result.structured_content
    return found


async def names(client: Client) -> set[str]:
    return {tool.name for tool in (await client.list_tools()).tools}


@BOTH
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_an_agent_submits_watches_finds_and_deletes(
    start_host: StartHost, mode: str, tmp_path: Path
) -> None:
    host, heard = await start_host(mcp=True), tmp_path / "heard"
    async with agent(host, host.caller("task_manager"), mode) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
        made = await called(
            client,
            "submit_job",
            jobName="greet",
            command=rf"printf '\033]9;4;1;42\a'; echo hello; until test -e {heard}; do sleep 0.05; done",
            executionMode="BackgroundJob",
        )
        told: list[tuple[float, float | None, str | None]] = []

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, total, message))
            if message == "hello":  # while the job runs
                heard.touch()

        result = await client.call_tool(
            "watch_job", {"jobId": made["jobId"], "seconds": 50}, progress_callback=tell
        )
        seen = result.structured_content
        assert (seen["ended"], seen["status"], seen["output"]) == (True, "Succeeded", "hello\n")
        assert seen["job"]["JobName"] == "greet"
        assert [each[0] for each in told] == sorted({each[0] for each in told})
        assert (42.0, 100.0, "42%") in [(round(now), total, text) for now, total, text in told]

        again = await called(client, "watch_job", jobId=made["jobId"], position=seen["position"])
        assert (again["ended"], again["output"]) == (True, "")
        piece = await called(client, "read_output", jobId=made["jobId"], offset=-6, maxBytes=4)
        assert (piece["text"], piece["size"] - piece["nextOffset"], piece["complete"]) == ("hell", 2, False)
        found = await called(client, "search_results", q="hello")
        assert [each["JobID"] for each in found["results"]] == [made["jobId"]]
        assert await called(client, "delete_results", jobIds=[made["jobId"]]) == {"deleted": 1}
        assert await called(client, "list_jobs") == {"jobs": []}


async def test_templates_and_functions_are_tools_with_their_own_parameters(start_host: StartHost) -> None:
    host = await start_host(functions=functions, mcp=True)
    alice = host.caller("task_manager")
    template = (await alice.request("POST", "/templates", json=TEMPLATE)).body["template"]
    async with agent(host, host.caller("clerk", user_id="carol")) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        name = f"template_Greet_somebody_{template['TemplateID'][:8]}"
        assert EVERYBODYS | {name, "function_greet"} == tools.keys()
        assert tools[name].title == "Greet somebody!"
        assert tools[name].input_schema == {
            "type": "object",
            "properties": {
                "who": {"type": "string", "description": "whom It must match [a-z]+ (RE2)."},
                "times": {"type": "integer", "minimum": 1, "maximum": 3, "default": 1},
            },
            "required": ["who"],
            "additionalProperties": False,
        }
        job = await called(client, name, who="bob")
        assert (await called(client, "watch_job", jobId=job["jobId"]))["output"] == "hello bob\n"
        refused = await client.call_tool(name, {"who": "BOB"})
        assert (refused.is_error, refused.content[0].text) == (True, "who must match [a-z]+.")

    async with agent(host, alice) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert "function_rebuild" not in tools
        assert tools["function_greet"].input_schema["properties"]["name"]["type"] == "string"
        job = await called(client, "function_greet", name="bob")
        seen = await called(client, "watch_job", jobId=job["jobId"])
        assert seen["job"]["ReturnValue"] == "alice greets bob"


async def test_the_how_tos_agent_runs_a_template(
    start_host: StartHost, capsys: pytest.CaptureFixture[str]
) -> None:
    host = await start_host(mcp=True)
    await host.caller("task_manager").request("POST", "/templates", json=TEMPLATE)
    key = host.caller("clerk", user_id="carol").session.headers["Authorization"].removeprefix("Bearer ")
    example = runpy.run_path(str(ROOT / "docs/how-to/examples/agent.py"))
    address = f"{host.address}{host.config.prefix}/mcp"
    result = await example["run_template"](address, key, "Greet somebody!", {"who": "bob"})
    assert (result["Success"], result["UserID"]) == (True, "carol")
    assert capsys.readouterr().out == "hello bob\n"


async def test_what_a_tool_may_change_is_said(start_host: StartHost) -> None:
    host = await start_host(mcp=True)
    async with agent(host, host.caller("debug")) as client:
        hints = {
            tool.name: (
                tool.annotations.read_only_hint,
                tool.annotations.destructive_hint,
                tool.annotations.idempotent_hint,
                tool.annotations.open_world_hint,
            )
            for tool in (await client.list_tools()).tools
            if tool.annotations is not None
        }
    reads = dict.fromkeys(EVERYBODYS - {"cancel_job", "delete_results"}, (True, False, True, False))
    ends = dict.fromkeys(("cancel_job", "delete_results"), (False, True, True, False))
    assert hints == {**reads, **ends, "submit_job": (False, True, False, True)}


async def test_a_long_output_is_watched_in_bounded_pieces(start_host: StartHost) -> None:
    host = await start_host(mcp=True)
    alice = host.caller("task_manager")
    record = await alice.run("for i in $(seq 100); do echo größe $i; done")
    async with agent(host, alice) as client:
        text, position, pieces = "", None, 0
        while True:
            asked = {"position": position} if position else {}
            seen = await called(client, "watch_job", jobId=record["JobID"], maxBytes=500, **asked)
            assert len(seen["output"].encode()) <= 500
            text, position, pieces = text + seen["output"], seen["position"], pieces + 1
            if seen["ended"]:
                break
    assert (text, pieces) == (record["Output"], 3)


async def test_faults_are_told_to_the_agent_as_sentences(start_host: StartHost) -> None:
    host = await start_host(mcp=True)
    bobs = await host.caller("task_manager", user_id="bob").submit("sleep 20")
    async with agent(host, host.caller("task_manager")) as client:
        for name, arguments, said in (
            (
                "submit_job",
                {"jobName": "x", "executionMode": "MainLoop", "command": "1"},
                "requires 'debug' role",
            ),
            ("submit_job", {"jobName": "x", "command": "true"}, "executionMode is required."),
            ("get_job", {"jobId": bobs}, "This job is not yours."),
            ("cancel_job", {"jobId": bobs}, "This job is not yours."),
            ("watch_job", {"jobId": "7"}, "jobId must match pattern"),
            ("read_output", {"jobId": bobs, "pages": 3}, "pages is not a field here; check its spelling."),
            ("list_jobs", {"everyone": True}, "To see all jobs requires elevated roles"),
        ):
            result = await client.call_tool(name, arguments)
            assert result.is_error
            assert said in result.content[0].text
        with pytest.raises(refused(), match="There is no tool rm_rf, or it is not yours to use"):
            await client.call_tool("rm_rf", {})


async def test_a_role_that_was_taken_away_takes_its_tools_with_it(start_host: StartHost) -> None:
    roles = {"task_manager"}

    async def now(_user: str) -> set[str]:
        return roles

    host = await start_host(mcp=True, roles_resolver=now, roles_cache_seconds=0)
    async with agent(host, host.caller("task_manager")) as client:
        assert await names(client) == EVERYBODYS | {"submit_job"}
        roles.clear()
        assert await names(client) == EVERYBODYS
        with pytest.raises(refused(), match="not yours to use"):
            await client.call_tool(
                "submit_job", {"jobName": "x", "command": "true", "executionMode": "Runspace"}
            )


async def test_many_tools_come_in_pages(start_host: StartHost) -> None:
    host = await start_host(mcp=True, max_templates_per_user=200)
    alice = host.caller("task_manager")
    for number in range(110):
        made = await alice.request("POST", "/templates", json={**TEMPLATE, "name": f"t{number}"})
        assert made.status == 201
    async with agent(host, alice) as client:
        first = await client.list_tools()
        assert (len(first.tools), first.next_cursor) == (100, first.tools[-1].name)
        second = await client.list_tools(cursor=first.next_cursor)
        assert second.next_cursor is None
        every = [tool.name for tool in (*first.tools, *second.tools)]
        assert len(every) == len(set(every)) == 110 + len(EVERYBODYS) + 1


async def test_it_is_off_unless_it_is_turned_on(host: Host) -> None:
    answer = await host.caller("debug").request("POST", f"{host.address}{host.config.prefix}/mcp", json={})
    assert answer.status == 404
