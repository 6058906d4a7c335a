"""What a stolen session cookie opens once its session is over: nothing, on no host, however it is kept."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp_session
import pytest
from aiohttp import ClientSession, CookieJar, web
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from cryptography.fernet import Fernet

import aiohttp_jobs
from aiohttp_jobs import JobsConfig

from ..conftest import Caller, Host, login, logout, serve
from ..gate import until_answered
from ..hosts.process import Process, running

StartHost = Callable[..., Awaitable[Host]]


def stolen(caller: Caller) -> dict[str, str]:
    """A copy of somebody's cookies, as headers."""
    cookies = "; ".join(f"{cookie.key}={cookie.value}" for cookie in caller.session.cookie_jar)
    assert cookies
    return {"Cookie": cookies}


async def opens(host: Host, cookie: dict[str, str]) -> bool:
    """Whether a cookie that was kept aside tells the plugin who is calling."""
    answer = await host.stranger().request("GET", "/me", headers=cookie)
    assert answer.status in (200, 401), answer.body
    return answer.status == 200


def session_files(host: Host) -> list[Path]:
    return sorted((host.base_dir / "Sessions").glob("*/*.json"))


async def test_a_cookie_stolen_before_its_owner_signed_out(host: Host) -> None:
    alice = await host.signed_in("debug")
    cookie = stolen(alice)
    assert await opens(host, cookie)
    await alice.request("POST", f"{host.address}/logout")
    assert not await opens(host, cookie)


async def test_a_cookie_of_the_hosts_own_sessions_stolen_before_its_owner_signed_out(
    host_with_own_sessions: Host,
) -> None:
    host = host_with_own_sessions
    alice = await host.signed_in("debug")
    cookie = stolen(alice)
    assert await opens(host, cookie)
    await alice.request("POST", f"{host.address}/logout")
    assert not await opens(host, cookie)


async def test_a_cookie_signed_out_on_one_host_is_used_on_the_other(tmp_path: Path) -> None:
    def on(process: Process) -> Caller:
        return Caller(process.api, session)

    with running(tmp_path / "data") as one, running(tmp_path / "data") as other:
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
            address = f"http://127.0.0.1:{one.port}"
            answer = await on(one).request(
                "POST", f"{address}/login", json={"user_id": "alice", "roles": ["debug"]}
            )
            assert answer.status == 200
            cookie = stolen(on(one))
            assert (await on(other).request("GET", "/me")).status == 200
            await on(one).request("POST", f"{address}/logout")
            assert (await on(other).request("GET", "/me", headers=cookie)).status == 401
            assert (await on(one).request("GET", "/me", headers=cookie)).status == 401


async def test_a_sign_out_is_undone_by_restarting_the_host(start_host: StartHost) -> None:
    host = await start_host()
    alice, bob = await host.signed_in("debug"), await host.signed_in("debug", user_id="bob")
    gone, kept = stolen(alice), stolen(bob)
    await alice.request("POST", f"{host.address}/logout")
    await host.stop()
    host = await start_host()
    assert not await opens(host, gone)
    assert await opens(host, kept)


async def test_a_cookie_is_kept_alive_for_ever_by_having_it_rewritten(
    make_config: Callable[..., JobsConfig],
) -> None:
    async def rewrite(request: web.Request) -> web.Response:
        session = await aiohttp_session.get_session(request)
        session["seen"] = session.get("seen", 0) + 1
        return web.json_response(sorted(session))

    app, config = web.Application(), make_config(session_max_age=3)
    app.router.add_post("/rewrite", rewrite)
    aiohttp_jobs.setup(app, config)
    host = await serve(app, config)
    try:
        alice = await host.signed_in("debug")

        async def has_ended() -> bool:
            held = await alice.request("POST", f"{host.address}/rewrite")
            assert "aiohttp_jobs" in held.body, "the cookie itself has ended: this proves nothing"
            return not await opens(host, stolen(alice))

        await until_answered(has_ended, "the end of a session of three seconds")
    finally:
        await host.stop()


async def test_a_cookie_is_kept_from_before_somebody_else_signed_in_there(host: Host) -> None:
    caller = await host.signed_in("debug")
    cookie = stolen(caller)
    body = {"user_id": "bob", "roles": []}
    assert (await caller.request("POST", f"{host.address}/login", json=body)).status == 200
    assert (await caller.request("GET", "/me")).body["me"]["userId"] == "bob"
    assert not await opens(host, cookie)


async def test_a_cookie_of_a_release_that_kept_no_sessions(host: Host) -> None:
    """There is no telling whether it was signed out: whoever has one signs in once more."""
    key = (host.base_dir / "Secrets" / "session.key").read_text()
    old = {"user_id": "alice", "roles": ["debug"], "session_id": str(uuid.uuid4()), "signed_in_at": 1}
    session = {"created": 2**32, "session": {"aiohttp_jobs": old}}
    cookie = Fernet(key).encrypt(json.dumps(session).encode()).decode()
    assert not await opens(host, {"Cookie": f"{host.config.session_cookie}={cookie}"})


async def test_a_session_is_forged_by_who_can_read_what_is_kept_of_it_and_the_cookies_key(host: Host) -> None:
    alice = await host.signed_in("debug")
    (file,) = session_files(host)
    kept = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert kept["UserID"] == "alice"
    fernet = Fernet((host.base_dir / "Secrets" / "session.key").read_text())
    real = json.loads(fernet.decrypt(stolen(alice)["Cookie"].partition("=")[2].encode()))
    assert real["session"]["aiohttp_jobs"]["secret"] not in file.read_text()
    for secret in (kept["SHA256"], "", "x"):
        real["session"]["aiohttp_jobs"]["secret"] = secret
        forged = fernet.encrypt(json.dumps(real).encode()).decode()
        assert not await opens(host, {"Cookie": f"{host.config.session_cookie}={forged}"})


@pytest.mark.parametrize("trap", ["pipe", "link", "folder", "garbage", "another user's"])
async def test_a_session_that_has_ended_is_put_back_as_something_else(host: Host, trap: str) -> None:
    alice, bob = await host.signed_in("debug"), await host.signed_in("debug", user_id="bob")
    cookie = stolen(alice)
    (file,) = (host.base_dir / "Sessions" / "alice").glob("*.json")
    elsewhere = host.base_dir / "elsewhere.json"
    elsewhere.write_bytes(file.read_bytes())
    await alice.request("POST", f"{host.address}/logout")
    file.parent.mkdir(exist_ok=True)
    match trap:
        case "pipe":
            os.mkfifo(file)
        case "link":
            file.symlink_to(elsewhere)
        case "folder":
            file.mkdir()
        case "garbage":
            file.write_bytes(b"\xff" * 100)
        case _:
            file.write_bytes(next(file.parent.parent.glob("bob/*.json")).read_bytes())
    assert not await opens(host, cookie)
    assert await opens(host, stolen(bob))
    assert (await host.signed_in("debug", user_id="alice")).user_id == "alice"


async def test_a_user_signs_in_so_often_that_the_disk_fills(start_host: StartHost) -> None:
    host = await start_host(max_sessions_per_user=3)
    mallory = [stolen(await host.signed_in(user_id="mallory")) for _ in range(5)]
    alice = stolen(await host.signed_in())
    assert [await opens(host, cookie) for cookie in mallory] == [False, False, True, True, True]
    assert await opens(host, alice)
    assert len(session_files(host)) == 4


async def test_sessions_that_have_expired_fill_the_disk(start_host: StartHost) -> None:
    host = await start_host(session_max_age=0.01)
    for number in range(3):
        await host.signed_in(user_id=f"user{number}")
    await host.stop()
    host = await start_host()
    assert list((host.base_dir / "Sessions").iterdir()) == []


@pytest.mark.parametrize("mounted", ["twice", "by the host", "below a part of the host"])
async def test_a_sign_out_counts_for_one_of_two_plugins_only(
    make_config: Callable[..., JobsConfig], tmp_path: Path, mounted: str
) -> None:
    configs = [make_config(), make_config(data_dir=tmp_path / "other", prefix="/other")]
    app, part = web.Application(), web.Application()
    aiohttp_session.setup(app, EncryptedCookieStorage(Fernet(Fernet.generate_key())))
    for config in configs:
        if mounted == "twice":
            aiohttp_jobs.setup(app, config)
        else:
            outer = app if mounted == "by the host" else part
            outer.add_subapp(config.prefix, aiohttp_jobs.create_jobs_app(config))
    part.router.add_post("/login", login)
    part.router.add_post("/logout", logout)
    app.add_subapp("/part", part)
    host = await serve(app, configs[0])
    prefix = "/part" if mounted.startswith("below") else ""
    plugins = [f"{host.address}{prefix}{config.prefix}/api/v1/me" for config in configs]
    try:
        for door in ("", "/part"):
            caller = host.stranger()
            body = {"user_id": "alice", "roles": []}
            assert (await caller.request("POST", f"{host.address}{door}/login", json=body)).status == 200
            assert [(await caller.request("GET", plugin)).status for plugin in plugins] == [200, 200]
            cookie = stolen(caller)
            await caller.request("POST", f"{host.address}{door}/logout")
            statuses = [(await caller.request("GET", url, headers=cookie)).status for url in plugins]
            assert statuses == [401, 401]
    finally:
        await host.stop()


async def test_signing_in_where_no_plugin_is_mounted_says_so() -> None:
    app = web.Application()
    aiohttp_session.setup(app, EncryptedCookieStorage(Fernet(Fernet.generate_key())))
    said: list[str] = []

    async def sign_in(request: web.Request) -> web.Response:
        try:
            await aiohttp_jobs.remember(request, "alice", [])
        except aiohttp_jobs.ConfigurationError as error:
            said.append(error.message)
        return web.Response()

    app.router.add_get("/", sign_in)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with ClientSession() as session:
            await session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    finally:
        await runner.cleanup()
    assert "not mounted" in said[0]


@pytest.mark.parametrize("roles", [(), ("debug", "task_manager")])
async def test_somebody_reads_or_ends_the_sessions_of_another(host: Host, roles: tuple[str, ...]) -> None:
    alice, mallory = await host.signed_in(), await host.signed_in(*roles, user_id="mallory")
    session_id = session_files(host)[0].stem
    for method, path, body, status in (
        ("GET", "/sessions?scope=all", None, 403),
        ("GET", "/sessions?user=alice", None, 403),
        ("POST", "/sessions/revoke", {"userId": "alice"}, 403),
        ("DELETE", f"/sessions/{session_id}", None, 404),
    ):
        answer = await mallory.request(method, path, **({"json": body} if body else {}))
        assert answer.status == status, (path, answer.body)
    assert (await alice.request("GET", "/me")).status == 200


async def test_whoever_found_a_key_keeps_its_owner_from_signing_in_to_disable_it(host: Host) -> None:
    alice, finder = await host.signed_in("debug"), host.caller("debug")
    session_id = session_files(host)[0].stem
    assert (await finder.request("GET", "/sessions")).status == 403
    assert (await finder.request("POST", "/sessions/revoke", json={})).status == 403
    assert (await finder.request("DELETE", f"/sessions/{session_id}")).status in (403, 404)
    assert (await alice.request("GET", "/me")).status == 200


async def test_another_site_signs_somebody_out_everywhere(host: Host) -> None:
    alice = await host.signed_in()
    headers = {"Origin": "https://evil.example"}
    assert (await alice.request("POST", "/sessions/revoke", json={}, headers=headers)).status == 403
    assert (await alice.request("GET", "/me")).status == 200
