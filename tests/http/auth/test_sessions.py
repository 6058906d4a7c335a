"""Signing in with a session: the plugin's own cookie, or the host's session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp_session
import pytest
from aiohttp import web

from aiohttp_jobs import Identity
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

from ...conftest import Caller, Host
from ...engines import BOTH

StartHost = Callable[..., Awaitable[Host]]
JOB = {"jobName": "j", "command": "true", "executionMode": "BackgroundJob"}


def cookies(caller: Caller) -> dict[str, str]:
    return {cookie.key: cookie.value for cookie in caller.session.cookie_jar}


async def test_a_session_submits_and_reads_until_it_signs_out(host: Host) -> None:
    caller = await host.signed_in("task_manager")
    assert (await caller.run("echo hi"))["Output"] == "hi\n"
    await caller.request("POST", f"{host.address}/logout")
    assert (await caller.request("GET", "/jobs/results")).status == 401


@pytest.mark.parametrize("secure", [True, False])
async def test_the_cookie_is_protected(start_host: StartHost, secure: bool) -> None:
    host = await start_host(session_secure=secure)
    caller = host.stranger()
    answer = await caller.request(
        "POST", f"{host.address}/login", json={"user_id": "alice", "roles": ["debug"]}
    )
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("PSWebSessionID=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert ("Secure" in cookie) == secure
    assert "alice" not in cookie


async def test_the_hosts_own_code_meets_the_cookie_as_that_of_any_storage(start_host: StartHost) -> None:
    async def show(request: web.Request) -> web.Response:
        storage = request[aiohttp_session.STORAGE_KEY]
        shown = [storage.cookie_name, storage.max_age, storage.cookie_params["secure"]]
        response = web.json_response([*shown, storage.load_cookie(request)])
        storage.save_cookie(response, "anew", max_age=5)
        return response

    app = web.Application()
    app.router.add_get("/show", show)
    host = await start_host(app, session_max_age=100, session_secure=True)
    asking = {"headers": {"Cookie": "PSWebSessionID=kept"}}
    answer = await host.stranger().request("GET", f"{host.address}/show", **asking)
    assert answer.body == ["PSWebSessionID", 100, True, "kept"]
    assert answer.headers["Set-Cookie"].startswith("PSWebSessionID=anew; ")
    assert "Max-Age=5; " in answer.headers["Set-Cookie"]


async def test_sessions_survive_a_restart(start_host: StartHost) -> None:
    host = await start_host()
    kept = cookies(await host.signed_in("debug"))["PSWebSessionID"]
    await host.stop()
    host = await start_host()
    caller = host.stranger()
    headers = {"Cookie": f"PSWebSessionID={kept}"}
    assert (await caller.request("GET", "/jobs/results", headers=headers)).status == 200
    headers = {"Cookie": f"PSWebSessionID={kept[:-2]}xx"}
    assert (await caller.request("GET", "/jobs/results", headers=headers)).status == 401
    key = host.base_dir / "Secrets" / "session.key"
    assert key.stat().st_mode & 0o777 == 0o600


async def test_a_host_with_its_own_sessions_keeps_them(host_with_own_sessions: Host) -> None:
    caller = await host_with_own_sessions.signed_in("debug")
    assert set(cookies(caller)) == {"HOST"}
    assert (await caller.run("echo hi"))["Output"] == "hi\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "{own}"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://trusted.example"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "{own}.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "{own}"}, 403),
    ],
)
async def test_other_sites_cannot_act_with_a_cookie(
    start_host: StartHost, headers: dict[str, str], status: int
) -> None:
    host = await start_host(trusted_origins=("https://trusted.example",))
    sent = {name: value.replace("{own}", host.address) for name, value in headers.items()}
    caller = await host.signed_in("debug")
    answer = await caller.request("POST", "/jobs/submit", json=JOB, headers=sent)
    assert answer.status == status
    if status == 403:
        assert answer.body["code"] == "cross_origin"
        unknown = "/jobs/results?jobId=00000000-0000-4000-8000-000000000000"
        assert (await caller.request("DELETE", unknown, headers=sent)).status == 403
        assert (await caller.request("GET", "/jobs/results", headers=sent)).status == 200
        bearer = host.caller("debug")
        assert (await bearer.request("POST", "/jobs/submit", json=JOB, headers=sent)).status == 200


async def test_a_host_may_tell_who_is_calling_itself(start_host: StartHost) -> None:
    async def resolve(request: web.Request) -> Identity | None:
        name = request.headers.get("X-User")
        return Identity(name, roles=frozenset({"task_manager"})) if name else None

    host = await start_host(identity_resolver=resolve)
    caller = host.stranger()
    assert (await caller.request("GET", "/jobs/results")).status == 401
    answer = await caller.request("POST", "/jobs/submit", json=JOB, headers={"X-User": "carol"})
    assert answer.status == 200


async def test_roles_are_asked_again_when_a_job_is_picked_up(start_host: StartHost) -> None:
    roles: dict[str, list[str]] = {"alice": ["task_manager"]}

    async def resolve(user_id: str) -> list[str] | None:
        return roles.get(user_id)

    host = await start_host(roles_resolver=resolve, roles_cache_seconds=0)
    caller = await host.signed_in("task_manager")
    job_id = await caller.submit("true", delaySeconds=3)
    roles["alice"] = []
    result = await caller.result(job_id)
    assert result["Status"] == "Rejected"
    assert "requires elevated roles" in result["Output"]


@BOTH
async def test_jobs_of_a_key_that_was_disabled_do_not_run(host: Host) -> None:
    """Also when another process has disabled it since this one read the keys."""
    somebody = await host.signed_in("system_admin")
    assert (await somebody.request("POST", "/queue/pause", json={})).status == 200
    job_id = await host.caller("debug").submit("true")
    keys = host.keys or ApiKeys.in_data_dir(host.config.data_dir)
    keys.change(keys.all()[0].key_id, lambda key: key.model_copy(update={"enabled": False}))
    await somebody.request("POST", "/queue/resume", json={})
    result = await somebody.result(job_id)
    assert result["Status"] == "Rejected"
    assert "API key" in result["Output"]
