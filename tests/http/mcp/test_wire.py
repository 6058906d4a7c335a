"""What is sent to ``/mcp`` by hand: versions, headers, and messages that no good client sends."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ...conftest import Answer, Caller, Host

StartHost = Callable[..., Awaitable[Host]]
NEWEST = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": NEWEST,
    "io.modelcontextprotocol/clientCapabilities": {},
}
Send = Callable[..., Awaitable[Answer]]


@pytest.fixture
async def send(start_host: StartHost) -> Send:
    host = await start_host(mcp=True)
    return sending(host, host.caller("task_manager"))


def sending(host: Host, caller: Caller) -> Send:
    async def send(data: Any = None, method: str = "POST", **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        address = f"{host.address}{host.config.prefix}/mcp"
        return await caller.request(method, address, json=data, headers=given)

    return send


def asking(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


REVISIONS: list[tuple[str, str]] = [
    # the one wanted, and the one agreed on
    ("2025-03-26", "2025-03-26"),
    ("2025-06-18", "2025-06-18"),
    ("2025-11-25", "2025-11-25"),
    ("2024-11-05", "2025-11-25"),
    ("1999-01-01", "2025-11-25"),
]


async def test_a_handshake_agrees_on_a_revision_and_makes_no_session(send: Send) -> None:
    for wanted, agreed in REVISIONS:
        answer = await send(asking("initialize", protocolVersion=wanted, capabilities={}, clientInfo={}))
        assert (answer.status, answer.body["result"]["protocolVersion"]) == (200, agreed), wanted
        assert answer.body["result"]["capabilities"] == {"tools": {}}
        assert "Mcp-Session-Id" not in answer.headers
        noted = await send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert (noted.status, noted.body) == (202, "")
        assert (await send(asking("ping"), MCP_Protocol_Version=agreed)).body["result"] == {}


async def test_the_newest_revision_needs_no_handshake(send: Send) -> None:
    headers = {"MCP_Protocol_Version": NEWEST, "Mcp_Method": "server/discover"}
    found = (await send(asking("server/discover", _meta=META), **headers)).body["result"]
    assert found["supportedVersions"] == ["2025-03-26", "2025-06-18", "2025-11-25", NEWEST]
    assert (found["resultType"], found["ttlMs"], found["cacheScope"]) == ("complete", 0, "private")


MISMATCHED: list[dict[str, str]] = [
    # headers beside a body that calls ``list_jobs``
    {},
    {"MCP_Protocol_Version": NEWEST},
    {"MCP_Protocol_Version": NEWEST, "Mcp_Method": "tools/list"},
    {"MCP_Protocol_Version": NEWEST, "Mcp_Method": "tools/call"},
    {"MCP_Protocol_Version": NEWEST, "Mcp_Method": "tools/call", "Mcp_Name": "submit_job"},
    {"MCP_Protocol_Version": "2025-06-18", "Mcp_Method": "tools/call", "Mcp_Name": "x"},
    {"MCP_Protocol_Version": NEWEST, "Mcp_Method": "tools/call", "Mcp_Name": "=?base64?!?="},
]


async def test_headers_that_do_not_say_what_the_body_says_are_refused(send: Send) -> None:
    for headers in MISMATCHED:
        answer = await send(asking("tools/call", name="list_jobs", arguments={}, _meta=META), **headers)
        assert (answer.status, answer.body["error"]["code"]) == (400, -32020), headers


async def test_a_name_may_come_encoded(send: Send) -> None:
    name = f"=?base64?{base64.b64encode(b'list_jobs').decode()}?="
    headers = {"MCP_Protocol_Version": NEWEST, "Mcp_Method": "tools/call", "Mcp_Name": name}
    answer = await send(asking("tools/call", name="list_jobs", arguments={}, _meta=META), **headers)
    assert answer.body["result"]["structuredContent"] == {"jobs": []}


NO_MESSAGES: list[tuple[Any, int, int]] = [
    # a body, the status and the code that it is answered with
    ([asking("ping"), asking("ping")], 400, -32600),
    ({"jsonrpc": "2.0", "id": 1, "result": {}}, 400, -32600),
    ({"id": 1, "method": "ping"}, 400, -32600),
    ({"jsonrpc": "2.0", "id": None, "method": "ping"}, 400, -32600),
    ({"jsonrpc": "2.0", "id": [1], "method": "ping"}, 400, -32600),
    ({"jsonrpc": "2.0", "id": 1, "method": 7}, 400, -32600),
    (asking("ping") | {"params": [1]}, 400, -32602),
    (asking("tools/list", _meta=3), 400, -32602),
    (asking("tools/list", cursor=3), 400, -32602),
    (asking("tools/call", name="list_jobs", arguments=[]), 400, -32602),
    (asking("tools/call", name="no_such_tool"), 200, -32602),
    (asking("prompts/list"), 200, -32601),
    (asking("initialize"), 400, -32602),
]


async def test_what_is_no_message_is_answered_with_a_code(send: Send) -> None:
    for body, status, code in NO_MESSAGES:
        answer = await send(body)
        assert (answer.status, answer.body["error"]["code"]) == (status, code), body
        assert answer.body["error"]["message"].endswith((".", "again.")), body
        assert "result" not in answer.body, body


async def test_a_revision_that_there_is_not_is_refused_with_those_that_there_are(send: Send) -> None:
    answer = await send(asking("tools/list"), MCP_Protocol_Version="2031-01-01")
    assert (answer.status, answer.body["error"]["code"]) == (400, -32022)
    assert answer.body["error"]["data"] == {
        "supported": ["2025-03-26", "2025-06-18", "2025-11-25", NEWEST],
        "requested": "2031-01-01",
    }


async def test_there_is_no_stream_of_the_servers_own_and_no_session_to_end(send: Send) -> None:
    for method in ("GET", "DELETE", "PUT"):
        answer = await send(method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST"), method


async def test_a_body_is_json_and_no_larger_than_any_other(start_host: StartHost) -> None:
    host = await start_host(mcp=True, max_body_bytes=2000)
    caller, address = host.caller("task_manager"), f"{host.address}{host.config.prefix}/mcp"
    for body, kind, status in (
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"jsonrpc":"2.0","x":"%s"}' % (b"x" * 3000), "application/json", 413),
    ):
        answer = await caller.request("POST", address, data=body, headers={"Content-Type": kind})
        assert answer.status == status
