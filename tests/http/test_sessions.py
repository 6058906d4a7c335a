"""Where somebody is signed in, and signing out there: over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiohttp_jobs.client import ClientError, JobsClient

from ..conftest import Caller, Host

StartHost = Callable[..., Awaitable[Host]]


async def sessions(caller: Caller, query: str = "") -> list[dict[str, Any]]:
    answer = await caller.request("GET", f"/sessions{query}")
    assert answer.status == 200, answer.body
    assert answer.body["count"] == len(answer.body["sessions"])
    found: list[dict[str, Any]] = answer.body["sessions"]
    return found


async def test_one_sees_where_one_is_signed_in_and_signs_out_there(host: Host) -> None:
    first = await host.signed_in(user_id="alice")
    first.session.headers["User-Agent"] = "unseen"  # what counts is what it was at sign-in
    second = await host.signed_in(user_id="alice")
    await host.signed_in(user_id="bob")
    newer, older = await sessions(first)
    assert (newer["Current"], older["Current"]) == (False, True)
    assert {newer["UserID"], older["UserID"]} == {"alice"}
    assert older["Address"] == "127.0.0.1"
    assert "aiohttp" in older["UserAgent"]
    assert older["SignedInAt"] < older["ExpiresAt"]
    assert set(older) == {
        "SessionID", "UserID", "SignedInAt", "ExpiresAt", "LastUsedAt", "Address", "UserAgent", "Current",
    }  # fmt: skip
    gone = await first.request("DELETE", f"/sessions/{newer['SessionID']}")
    assert (gone.status, gone.body["success"]) == (200, True)
    assert (await second.request("GET", "/me")).status == 401
    assert (await first.request("DELETE", f"/sessions/{newer['SessionID']}")).status == 404
    assert [one["Current"] for one in await sessions(first)] == [True]


async def test_signing_out_everywhere_may_spare_the_session_that_asks(host: Host) -> None:
    callers = [await host.signed_in(user_id="alice") for _ in range(3)]
    bob = await host.signed_in(user_id="bob")
    answer = await callers[0].request("POST", "/sessions/revoke", json={"keepCurrent": True})
    assert (answer.status, answer.body["revoked"]) == (200, 2)
    assert [(await caller.request("GET", "/me")).status for caller in callers] == [200, 401, 401]
    answer = await callers[0].request("POST", "/sessions/revoke", json={})
    assert answer.body["revoked"] == 1
    assert (await callers[0].request("GET", "/me")).status == 401
    assert (await bob.request("GET", "/me")).status == 200


async def test_an_administrator_sees_and_ends_anybodys(host: Host) -> None:
    root, alice = await host.signed_in("system_admin", user_id="root"), await host.signed_in()
    everybody = await sessions(root, "?scope=all")
    assert {one["UserID"] for one in everybody} == {"root", "alice"}
    (hers,) = await sessions(root, "?user=alice")
    assert (await root.request("DELETE", f"/sessions/{hers['SessionID']}")).status == 200
    assert (await alice.request("GET", "/me")).status == 401
    again = await host.signed_in()
    answer = await root.request("POST", "/sessions/revoke", json={"userId": "alice"})
    assert answer.body["revoked"] == 1
    assert (await again.request("GET", "/me")).status == 401
    assert (await root.request("GET", "/me")).status == 200


async def test_the_client_lists_and_ends_sessions(host: Host) -> None:
    alice, root = await host.signed_in(), await host.signed_in("site_admin", user_id="root")
    async with JobsClient(host.address + host.config.prefix, session=root.session) as client:
        (hers,) = await client.sessions.list(user_id="alice")
        await client.sessions.revoke(hers["SessionID"])
        assert (await alice.request("GET", "/me")).status == 401
        assert [one["Current"] for one in await client.sessions.list(everyone=True)] == [True]
        assert await client.sessions.revoke_all(keep_current=True) == 0
        assert await client.sessions.revoke_all(user_id="alice") == 0
        assert await client.sessions.revoke_all() == 1
        with pytest.raises(ClientError) as refused:
            await client.sessions.list()
        assert refused.value.status == 401
