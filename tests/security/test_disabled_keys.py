"""The door: a key that an administrator disabled, and its owner who would go on with it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

from ..conftest import Caller, Host

StartHost = Callable[..., Awaitable[Host]]


async def make_key(owner: Caller) -> tuple[str, str]:
    """A key of the owner's: its address and its secret."""
    made = await owner.request("POST", "/api-keys", json={"name": "ci"})
    assert made.status == 201, made.body
    return f"/api-keys/{made.body['apiKey']['KeyID']}", made.body["secret"]


async def set_enabled(caller: Caller, address: str, enabled: bool) -> tuple[int, Any]:
    answer = await caller.request("PATCH", address, json={"enabled": enabled})
    return answer.status, answer.body


async def test_its_owner_enables_it_again(host: Host) -> None:
    owner, admin = await host.signed_in("task_manager"), await host.signed_in("system_admin", user_id="root")
    address, secret = await make_key(owner)
    assert (await set_enabled(admin, address, False))[1]["apiKey"]["DisabledBy"] == "root"
    status, body = await set_enabled(owner, address, True)
    assert (status, body["code"]) == (403, "forbidden")
    assert "disabled by root" in body["error"]
    assert (await host.bearer(secret).request("GET", "/me")).status == 401
    status, body = await set_enabled(admin, address, True)
    assert (status, body["apiKey"]["Enabled"], body["apiKey"]["DisabledBy"]) == (200, True, None)
    assert (await host.bearer(secret).request("GET", "/me")).status == 200


async def test_its_owner_disables_it_too_so_as_to_be_who_did(host: Host) -> None:
    owner, admin = await host.signed_in("task_manager"), await host.signed_in("system_admin", user_id="root")
    address, _ = await make_key(owner)
    await set_enabled(admin, address, False)
    status, body = await set_enabled(owner, address, False)
    assert (status, body["apiKey"]["DisabledBy"]) == (200, "root")
    assert (await set_enabled(owner, address, True))[0] == 403


async def test_an_admins_disabling_is_forestalled_by_the_owners(host: Host) -> None:
    owner, admin = await host.signed_in("task_manager"), await host.signed_in("system_admin", user_id="root")
    address, _ = await make_key(owner)
    await set_enabled(owner, address, False)
    await set_enabled(admin, address, False)
    assert (await set_enabled(owner, address, True))[0] == 403


async def test_who_disabled_their_own_key_may_enable_it(host: Host) -> None:
    owner = await host.signed_in("task_manager")
    address, secret = await make_key(owner)
    await set_enabled(owner, address, False)
    assert (await set_enabled(owner, address, True))[0] == 200
    assert (await host.bearer(secret).request("GET", "/me")).status == 200


@pytest.mark.parametrize("disabled_by", ["cli:root", None])
async def test_a_key_that_was_disabled_on_the_server_is_enabled_by_its_owner(
    host: Host, disabled_by: str | None
) -> None:
    owner = await host.signed_in("task_manager")
    address, _ = await make_key(owner)
    keys = ApiKeys.in_data_dir(host.config.data_dir)
    keys.set_enabled(address.rpartition("/")[2], False, by=disabled_by)
    assert (await set_enabled(owner, address, True))[0] == 403


async def test_a_key_that_an_older_release_disabled_still_reads_and_stays_so(host: Host) -> None:
    owner = await host.signed_in("task_manager")
    address, _ = await make_key(owner)
    path = host.base_dir / "Secrets" / "api-keys.json"
    (record,) = json.loads(path.read_text())
    del record["DisabledBy"], record["Service"]
    path.write_text(json.dumps([{**record, "Enabled": False}]))
    (listed,) = (await owner.request("GET", "/api-keys")).body["apiKeys"]
    assert (listed["Enabled"], listed["DisabledBy"], listed["Service"]) == (False, None, False)
    assert (await set_enabled(owner, address, True))[0] == 403
