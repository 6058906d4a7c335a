"""Sessions from the command line: over HTTP with an administrator's key, and on the data folder."""

from __future__ import annotations

import json

from ..conftest import Host
from .command import access_to, run


async def test_an_administrator_signs_somebody_out_over_http(host: Host) -> None:
    alice, _ = await host.signed_in(), await host.signed_in()
    env = access_to(host, "system_admin")
    code, out, _ = await run("session", "list", "--all", "--json", env=env)
    assert (code, [one["UserID"] for one in json.loads(out)]) == (0, ["alice", "alice"])
    newer = json.loads(out)[0]["SessionID"]
    assert (await run("session", "revoke", newer, env=env))[0] == 0
    assert (await alice.request("GET", "/me")).status == 200
    code, out, _ = await run("session", "revoke-all", "--user", "alice", "--json", env=env)
    assert (code, json.loads(out)) == (0, {"revoked": 1})
    assert (await alice.request("GET", "/me")).status == 401


async def test_whoever_has_the_data_folder_signs_somebody_out(host: Host) -> None:
    alice, bob = await host.signed_in(), await host.signed_in(user_id="bob")
    folder = ["--data-dir", str(host.config.data_dir)]
    code, out, _ = await run("session", "list", *folder, env={})
    assert (code, "alice" in out, "bob" in out) == (0, True, True)
    code, out, _ = await run("session", "list", "--user", "alice", "--json", *folder, env={})
    (hers,) = json.loads(out)
    assert "SHA256" not in hers
    assert (await run("session", "revoke", hers["SessionID"], *folder, env={}))[0] == 0
    assert (await alice.request("GET", "/me")).status == 401
    code, _, err = await run("session", "revoke", hers["SessionID"], *folder, env={})
    assert (code, "There is no session" in err) == (1, True)
    code, out, _ = await run("session", "revoke-all", *folder, env={})
    assert (code, out) == (0, "1 sessions are signed out.\n")
    assert (await bob.request("GET", "/me")).status == 401
