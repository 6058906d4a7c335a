"""What callers learn about themselves, and the API keys that they make over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp_jobs.model.job import format_utc, utc_now

from ..conftest import Host

KEY = "a7f3e8d9-4b2c-4f5a-9e7d-6c8b3a2f1e0d"


async def me(host: Host, *roles: str) -> dict[str, Any]:
    answer = await (await host.signed_in(*roles)).request("GET", "/me")
    assert answer.status == 200
    found: dict[str, Any] = answer.body["me"]
    return found


async def test_everyone_learns_what_they_may_do(host: Host) -> None:
    nobody, operator, debugger = await me(host), await me(host, "task_manager"), await me(host, "debug")
    assert nobody["modes"] == []
    assert operator["modes"] == ["Runspace", "BackgroundJob"]
    assert debugger["modes"] == ["MainLoop", "Runspace", "BackgroundJob"]
    assert "submit" in operator["permissions"]
    assert "submit" not in nobody["permissions"]
    assert (nobody["maxPriority"], operator["maxPriority"], debugger["maxPriority"]) == (5, 7, 9)
    assert operator["roles"] == ["authenticated", "task_manager"]
    assert operator["proof"] == "session"
    assert "shell" in operator["interpreters"]


async def test_a_key_made_over_http_works_at_once_and_only_until_disabled(host: Host) -> None:
    alice = await host.signed_in("task_manager", "debug")
    made = await alice.request("POST", "/api-keys", json={"name": "ci", "roles": ["task_manager"]})
    assert made.status == 201
    assert made.body["apiKey"]["Roles"] == ["task_manager"]
    assert made.body["apiKey"]["CreatedBy"] == "alice"
    program = host.bearer(made.body["secret"])
    assert (await program.request("GET", "/me")).body["me"]["proof"] == "api_key"
    (listed,) = (await alice.request("GET", "/api-keys")).body["apiKeys"]
    assert listed == made.body["apiKey"]
    assert made.body["secret"] not in str(listed)
    address = f"/api-keys/{listed['KeyID']}"
    changed = await alice.request("PATCH", address, json={"enabled": False})
    assert (changed.status, changed.body["apiKey"]["Enabled"]) == (200, False)
    assert (await program.request("GET", "/me")).status == 401
    await alice.request("PATCH", address, json={"enabled": True})
    assert (await program.request("GET", "/me")).status == 200
    assert (await alice.request("DELETE", address)).status == 200
    assert (await program.request("GET", "/me")).status == 401
    assert (await alice.request("DELETE", address)).status == 404


async def test_a_key_has_its_makers_roles_unless_told_otherwise_and_never_more(host: Host) -> None:
    alice = await host.signed_in("task_manager")
    made = await alice.request("POST", "/api-keys", json={"name": "all of mine"})
    assert made.body["apiKey"]["Roles"] == ["task_manager"]
    refused = await alice.request("POST", "/api-keys", json={"name": "more", "roles": ["debug"]})
    assert (refused.status, refused.body["code"]) == (403, "forbidden")
    assert "'debug'" in refused.body["error"]


async def test_a_key_cannot_manage_keys(host: Host) -> None:
    program = host.caller("system_admin", "debug")
    for method, path, body in (
        ("POST", "/api-keys", {"name": "child"}),
        ("PATCH", f"/api-keys/{KEY}", {"enabled": True}),
        ("DELETE", f"/api-keys/{KEY}", None),
    ):
        assert (await program.request(method, path, json=body)).status == 403, method


async def test_users_neither_see_nor_touch_each_others_keys(host: Host) -> None:
    alice = await host.signed_in("task_manager")
    key = (await alice.request("POST", "/api-keys", json={"name": "hers"})).body["apiKey"]
    bob = await host.signed_in("task_manager", user_id="bob")
    address = f"/api-keys/{key['KeyID']}"
    assert (await bob.request("GET", "/api-keys")).body["apiKeys"] == []
    assert (await bob.request("GET", "/api-keys?scope=all")).status == 403
    assert (await bob.request("PATCH", address, json={"enabled": False})).status == 404
    assert (await bob.request("DELETE", address)).status == 404
    refused = await bob.request("POST", "/api-keys", json={"name": "as alice", "userId": "alice"})
    assert refused.status == 403
    admin = await host.signed_in("system_admin", user_id="root")
    assert [
        each["KeyID"] for each in (await admin.request("GET", "/api-keys?scope=all")).body["apiKeys"]
    ] == [key["KeyID"]]
    assert (await admin.request("PATCH", address, json={"enabled": False})).status == 200
    for_alice = await admin.request(
        "POST", "/api-keys", json={"name": "for her", "userId": "alice", "roles": []}
    )
    assert for_alice.body["apiKey"]["UserID"] == "alice"


async def test_whoever_is_not_elevated_has_no_keys(host: Host) -> None:
    viewer = await host.signed_in()
    assert (await viewer.request("GET", "/api-keys")).status == 403
    assert (await viewer.request("POST", "/api-keys", json={"name": "n"})).status == 403
    stranger = host.stranger()
    assert (await stranger.request("GET", "/me")).status == 401
    assert (await stranger.request("POST", "/api-keys", json={"name": "n"})).status == 401


BAD_KEYS: list[tuple[dict[str, Any], str]] = [
    # what is asked for, and the field at fault
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "two\nlines"}, "name"),
    ({"name": "n", "roles": "debug"}, "roles"),
    ({"name": "n", "allowedIPs": ["10.0.0.0/33"]}, "allowedIPs"),
    ({"name": "n", "expiresAt": "tomorrow"}, "expiresAt"),
    ({"name": "n", "expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
    ({"name": "n", "expiresAt": "2027-01-01T00:00:00"}, "expiresAt"),
    ({"name": "n", "more": 1}, "more"),
]


async def test_bad_keys_are_refused_with_the_field_at_fault(host: Host) -> None:
    alice = await host.signed_in("task_manager")
    for body, field in BAD_KEYS:
        answer = await alice.request("POST", "/api-keys", json=body)
        assert answer.status == 422, (body, answer.body)
        assert answer.body["details"][0]["field"].startswith(field), (body, answer.body)


async def test_bad_addresses_and_changes_are_refused(host: Host) -> None:
    alice = await host.signed_in("task_manager")
    assert (await alice.request("PATCH", "/api-keys/nonsense", json={"enabled": True})).status == 422
    made = await alice.request("POST", "/api-keys", json={"name": "n"})
    own = f"/api-keys/{made.body['apiKey']['KeyID']}"
    assert (await alice.request("PATCH", own, json={"enabled": "no"})).status == 422
    assert (await alice.request("PATCH", f"/api-keys/{KEY}", json={"enabled": True})).status == 404
    assert (await alice.request("GET", "/api-keys?scope=some")).status == 422


async def test_what_a_key_asked_for_does_not_outlive_it(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host(max_parallel_background=1)
    admin = host.caller("system_admin", user_id="root")
    await admin.request("POST", "/queue/pause")
    expires = utc_now().timestamp() + 1
    program = host.caller(
        "task_manager", expires_at=format_utc(utc_now().fromtimestamp(expires, utc_now().tzinfo))
    )
    job_id = await program.submit("echo ran")
    await asyncio.sleep(max(0.0, expires - utc_now().timestamp()) + 0.05)
    await admin.request("POST", "/queue/resume")
    result = await host.caller("task_manager").result(job_id)
    assert result["Status"] == "Rejected"
    assert "expired" in result["Output"]
