"""The door: keys that are made in another user's name, or for nobody's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ..conftest import Answer, Caller, Host

StartHost = Callable[..., Awaitable[Host]]

ROLES = {"root": {"system_admin", "debug"}, "alice": {"task_manager", "debug"}, "bob": set[str]()}


async def roles_of(user_id: str) -> set[str] | None:
    return ROLES.get(user_id)


@pytest.fixture
async def told(start_host: StartHost) -> Host:
    """A host with a user table."""
    return await start_host(roles_resolver=roles_of)


async def make(caller: Caller, user_id: str, **fields: Any) -> Answer:
    return await caller.request("POST", "/api-keys", json={"name": "n", "userId": user_id, **fields})


async def test_a_key_for_a_user_has_a_role_that_the_user_lacks(told: Host) -> None:
    admin = await told.signed_in(user_id="root")
    refused = await make(admin, "alice", roles=["system_admin"])
    assert (refused.status, refused.body["code"]) == (403, "forbidden")
    assert "'system_admin'" in refused.body["error"]
    assert "'alice'" in refused.body["error"]
    made = await make(admin, "alice", roles=["debug"])
    assert (made.status, made.body["apiKey"]["Roles"]) == (201, ["debug"])


async def test_a_key_that_says_no_roles_gets_those_of_the_admin(told: Host) -> None:
    admin = await told.signed_in(user_id="root")
    assert (await make(admin, "alice")).body["apiKey"]["Roles"] == ["debug"]
    assert (await make(admin, "bob")).body["apiKey"]["Roles"] == []


async def test_a_record_that_says_more_than_its_user_has_is_believed(told: Host) -> None:
    key = told.caller("site_admin", "debug", user_id="bob")
    assert (await key.request("GET", "/me")).body["me"]["roles"] == ["authenticated"]


async def test_a_user_makes_a_service_key_that_outlives_them(told: Host) -> None:
    alice = await told.signed_in()
    for fields in ({}, {"userId": "ci"}, {"userId": "alice"}):
        body = {"name": "n", "service": True, "roles": ["debug"], **fields}
        assert (await alice.request("POST", "/api-keys", json=body)).status == 403


async def test_an_admin_makes_a_service_key_of_a_user_so_that_it_outlives_them(told: Host) -> None:
    admin = await told.signed_in(user_id="root")
    for user_id in ("root", "alice", "bob"):
        refused = await make(admin, user_id, service=True, roles=["debug"])
        assert (refused.status, refused.body["details"][0]["field"]) == (422, "service")


async def test_a_service_key_has_a_role_that_the_admin_lacks(told: Host) -> None:
    admin = await told.signed_in(user_id="root")
    assert (await make(admin, "ci", service=True, roles=["task_manager"])).status == 403
    made = await make(admin, "ci", service=True, roles=["debug"])
    assert (made.status, made.body["apiKey"]["Service"]) == (201, True)
    program = told.bearer(made.body["secret"])
    assert (await program.request("GET", "/me")).body["me"]["roles"] == ["authenticated", "debug"]
    (listed,) = (await admin.request("GET", "/api-keys?scope=all")).body["apiKeys"]
    assert (listed["Service"], listed["CreatedBy"]) == (True, "root")


async def test_a_key_for_a_user_who_does_not_exist_waits_for_them(told: Host) -> None:
    refused = await make(await told.signed_in(user_id="root"), "carol", roles=["debug"])
    assert (refused.status, refused.body["details"][0]["field"]) == (422, "userId")
    assert "service key" in refused.body["error"]
