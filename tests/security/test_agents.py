"""The door for agents: what somebody would want of it who has no key, another's page, or another's job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..conftest import Answer, Caller, Host

StartHost = Callable[..., Awaitable[Host]]


async def asked(host: Host, caller: Caller, method: str, origin: str | None = None, **params: Any) -> Answer:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = {"Accept": "application/json, text/event-stream"} | ({"Origin": origin} if origin else {})
    return await caller.request("POST", f"{host.address}{host.config.prefix}/mcp", json=body, headers=headers)


async def test_nobody_is_told_anything_without_a_key(start_host: StartHost) -> None:
    host = await start_host(mcp=True)
    for method in ("initialize", "ping", "tools/list", "server/discover"):
        answer = await asked(host, host.stranger(), method)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (await asked(host, host.bearer("pswj_wrong"), "tools/list")).status == 401


async def test_a_page_that_is_not_trusted_gets_nowhere_with_a_session_or_a_key(start_host: StartHost) -> None:
    host = await start_host(mcp=True, trusted_origins=["https://app.example.org"])
    for caller in (await host.signed_in("debug"), host.caller("debug")):
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            assert (await asked(host, caller, "tools/list", origin)).status == 403
        for origin in (host.address, "https://app.example.org"):
            assert (await asked(host, caller, "tools/list", origin)).status == 200


async def test_a_name_that_was_bound_anew_to_this_address_is_nobodys(start_host: StartHost) -> None:
    """DNS rebinding: the page's own name leads here now, so that its browser sees one origin."""
    host = await start_host(mcp=True)
    alice = await host.signed_in("debug")
    # The browser has a cookie for the host's name alone, and nobody's key.
    rebound = host.stranger()
    answer = await rebound.request(
        "POST",
        f"{host.address}{host.config.prefix}/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        headers={"Host": "evil.example", "Origin": "http://evil.example"},
    )
    assert answer.status == 401
    assert (await asked(host, alice, "tools/list")).status == 200


async def test_an_agent_reads_stops_and_deletes_nothing_of_others(start_host: StartHost) -> None:
    host = await start_host(mcp=True)
    done = (await host.caller("debug", user_id="bob").run("echo secret"))["JobID"]
    running = await host.caller("debug", user_id="bob").submit("sleep 30")
    eve = host.caller("debug", user_id="eve")
    for tool, arguments in (
        ("get_job", {"jobId": done}),
        ("read_output", {"jobId": done}),
        ("watch_job", {"jobId": done}),
        ("watch_job", {"jobId": running, "seconds": 1}),
        ("cancel_job", {"jobId": running}),
        ("delete_results", {"jobIds": [done]}),
    ):
        answer = await asked(
            host, eve, "tools/call", name=tool, arguments=arguments, _meta={"progressToken": 1}
        )
        text = str(answer.body)
        assert "not yours" in text
        assert "secret" not in text
    for tool in ("list_jobs", "search_results"):
        answer = await asked(host, eve, "tools/call", name=tool, arguments={})
        assert next(iter(answer.body["result"]["structuredContent"].values())) == []


async def test_a_key_without_a_role_neither_sees_nor_calls_what_needs_it(start_host: StartHost) -> None:
    host = await start_host(
        mcp=True,
        endpoint_roles={
            name: {"debug"} for name in ("list_jobs", "list_results", "delete_results", "cancel_jobs")
        },
    )
    eve = host.caller(user_id="eve")
    tools = (await asked(host, eve, "tools/list")).body["result"]["tools"]
    assert [tool["name"] for tool in tools] == ["get_job", "read_output", "watch_job"]
    for name in ("submit_job", "list_jobs", "search_results", "delete_results", "cancel_job"):
        answer = await asked(host, eve, "tools/call", name=name, arguments={})
        assert answer.body["error"]["code"] == -32602


async def test_a_watch_ends_with_the_key_that_asked_for_it(start_host: StartHost) -> None:
    roles: dict[str, set[str] | None] = {"alice": {"debug"}}

    async def now(user: str) -> set[str] | None:
        return roles[user]

    host = await start_host(mcp=True, heartbeat_interval=0.4, roles_resolver=now, roles_cache_seconds=0)
    alice = host.caller("debug")
    job_id = await alice.submit("echo one; sleep 30; echo two")
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "watch_job",
            "arguments": {"jobId": job_id, "seconds": 50},
            "_meta": {"progressToken": "t"},
        },
    }
    address = f"{host.address}{host.config.prefix}/mcp"
    headers = {"Accept": "application/json, text/event-stream"}
    async with alice.session.post(address, json=body, headers=headers) as response:
        async for line in response.content:
            if b"one" in line:
                roles["alice"] = None
        rest = line
    assert b"two" not in rest


async def test_watches_count_among_the_streams_of_one_user(start_host: StartHost) -> None:
    host = await start_host(mcp=True, max_streams_per_user=1)
    alice = host.caller("debug")
    job_id = await alice.submit("sleep 30")
    async with alice.session.get(f"{host.api}/jobs/{job_id}/events") as stream:
        await stream.content.readline()
        answer = await asked(host, alice, "tools/call", name="watch_job", arguments={"jobId": job_id})
    assert answer.body["result"]["isError"]
    assert "maxStreamsPerUser" in answer.body["result"]["content"][0]["text"]
