"""What is still read, or sent, by who has lost their session, key or role: nothing after a heartbeat."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp_session
import pytest
from aiohttp import ClientError, ClientResponse, ClientTimeout, web

import aiohttp_jobs
from aiohttp_jobs import Identity, Proof
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

from ..conftest import Caller, Host, serve
from ..gate import Gate, until
from ..raw_streams import connected

StartHost = Callable[..., Awaitable[Host]]
End = Callable[[Host, Caller], Awaitable[None]]

SECONDS = 120.0
QUICKLY = {"heartbeat_interval": 0.4, "roles_cache_seconds": 0}
FLOOD = "head -c 60000000 /dev/zero | tr '\\0' 'x'"
STREAMS = ["/jobs/{job_id}/events", "/jobs/feed"]


async def sign_out(host: Host, reader: Caller) -> None:
    cookies = {cookie.key: cookie.value for cookie in reader.session.cookie_jar}
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    answer = await host.stranger().request("POST", f"{host.address}/logout", headers=headers)
    assert answer.status == 200


async def disable_key(host: Host, reader: Caller) -> None:
    keys = ApiKeys.in_data_dir(host.config.data_dir)
    keys.set_enabled(next(key.key_id for key in keys.all() if key.name == "reader"), False)


class Memory(aiohttp_session.AbstractStorage):
    """Sessions kept by the host, by name, as in a database."""

    def __init__(self, kept: dict[str, Any]) -> None:
        super().__init__(cookie_name="HOST")
        self._kept = kept

    async def load_session(self, request: web.Request) -> aiohttp_session.Session:
        name = self.load_cookie(request)
        data = self._kept.get(name or "")
        return aiohttp_session.Session(name, data=data, new=data is None)

    async def save_session(
        self, request: web.Request, response: web.StreamResponse, session: aiohttp_session.Session
    ) -> None:
        name = str(len(self._kept))
        self._kept[name] = self._get_session_data(session)
        self.save_cookie(response, name)


class Reader:
    """Somebody with a proof that ends in one way or another."""

    def __init__(self, start_host: StartHost, tmp_path: Any, how: str) -> None:
        self._start, self._how = start_host, how
        self.gate = Gate(tmp_path / "gate")
        self.roles: dict[str, list[str]] = {"alice": ["task_manager"], "admin": ["system_admin"]}
        self.tokens: set[str] = {"t"}

    async def arrive(self) -> tuple[Host, Caller]:
        settings: dict[str, Any] = {**QUICKLY}
        if self._how == "session expires":
            settings["session_max_age"] = 3
        if self._how == "role is taken away":
            settings["roles_resolver"] = self._resolve_roles
        if self._how == "host's own session ends":
            settings["identity_resolver"] = self._resolve
        self.host = await self._start(**settings)
        if self._how == "key is disabled":
            _, secret = ApiKeys.in_data_dir(self.host.config.data_dir).create(
                name="reader", user_id="alice", roles=["task_manager"]
            )
            self.caller = self.host.bearer(secret, "alice")
        elif self._how == "host's own session ends":
            self.caller = self.host.stranger()
            self.caller.session.headers["X-Token"] = "t"
        else:
            self.caller = await self.host.signed_in("task_manager")
        return self.host, self.caller

    async def end(self) -> None:
        match self._how:
            case "session is signed out":
                await sign_out(self.host, self.caller)
            case "key is disabled":
                await disable_key(self.host, self.caller)
            case "role is taken away":
                self.roles["alice"] = []
            case "host's own session ends":
                self.tokens.clear()

    async def _resolve_roles(self, user_id: str) -> list[str] | None:
        return self.roles.get(user_id)

    async def _resolve(self, request: web.Request) -> Identity | None:
        known = request.headers.get("X-Token") in self.tokens
        roles = frozenset({"task_manager"})
        return Identity("alice", roles=roles, proof=Proof.RESOLVER) if known else None


WAYS = [
    "session is signed out",
    "session expires",
    "key is disabled",
    "role is taken away",
    "host's own session ends",
]


@pytest.fixture(params=WAYS)
async def reader(
    start_host: StartHost, tmp_path: Any, request: pytest.FixtureRequest
) -> AsyncIterator[Reader]:
    reader = Reader(start_host, tmp_path, request.param)
    yield reader
    reader.gate.open()


async def at_end(stream: ClientResponse) -> bool:
    """Read what there is; whether the other side ended it properly."""
    try:
        while await stream.content.readany():
            pass
    except ClientError:
        return False
    return True


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_on_which_nothing_happens_stays_open(reader: Reader, path: str) -> None:
    _, caller = await reader.arrive()
    job_id = await caller.submit(reader.gate.shell)
    await reader.gate.reached()
    url = caller.base + path.format(job_id=job_id)
    async with caller.session.get(url, timeout=ClientTimeout(total=SECONDS)) as stream:
        assert b"event" in await stream.content.readany()
        await reader.end()
        assert await at_end(stream)


async def test_a_submission_that_waits_is_told_the_result_of_later(reader: Reader) -> None:
    _, caller = await reader.arrive()
    body = {"jobName": "j", "command": reader.gate.shell, "executionMode": "BackgroundJob"}
    asking = asyncio.create_task(caller.request("POST", "/jobs/submit?wait=60", json=body))
    await reader.gate.reached()
    await reader.end()
    answer = await asyncio.wait_for(asking, SECONDS)
    assert (answer.status, answer.body["result"]) == (200, None)


async def test_a_body_that_is_sent_slowly_is_taken_from_who_was_signed_out_meanwhile(reader: Reader) -> None:
    host, caller = await reader.arrive()
    ended = asyncio.Event()
    body = json.dumps({"jobName": "late", "command": "true", "executionMode": "BackgroundJob"}).encode()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:20]
        await asyncio.sleep(0.3)  # so that the rights end while the host waits for the rest
        await reader.end()
        await ended.wait()
        yield body[20:]

    headers = {"Content-Type": "application/json"}
    asking = asyncio.create_task(caller.request("POST", "/jobs/submit", data=slowly(), headers=headers))
    answer = await asyncio.wait_for(asking, SECONDS)
    ended.set()
    assert answer.status in (401, 403)
    if host.config.identity_resolver is None:
        admin = host.caller("system_admin", user_id="admin")
        assert (await admin.request("GET", "/jobs?scope=all")).body["jobs"] == []


class SlowReader:
    """Somebody's request whose answer is not read yet, and for which there is little room on the way."""

    def __init__(self, host: Host, stream: asyncio.StreamReader, known: set[Any]) -> None:
        self._server, self._stream = host.runner.server, stream
        self._known = known

    async def holds_up_the_host(self) -> None:
        """Wait until the host has more to send than there is room for."""
        assert (await self._stream.readexactly(12)).endswith(b"200")
        await until(lambda: any(self._unsent()), "the host being held up")

    async def is_given_up(self) -> None:
        """Wait until the host has closed the connection from its side."""
        await until(lambda: not self._connections(), "the end of the connection")

    async def rest(self) -> bytes:
        taken = b""
        with suppress(ConnectionError):
            while piece := await asyncio.wait_for(self._stream.read(1 << 20), SECONDS):
                taken += piece
        return taken

    def _connections(self) -> set[Any]:
        assert self._server is not None
        return set(self._server.connections) - self._known

    def _unsent(self) -> list[int]:
        transports = (connection.transport for connection in self._connections())
        return [transport.get_write_buffer_size() for transport in transports if transport]


@asynccontextmanager
async def not_reading(host: Host, caller: Caller, path: str) -> AsyncIterator[SlowReader]:
    assert host.runner.server is not None
    known = set(host.runner.server.connections)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", int(host.address.rpartition(":")[2])))
    async with connected(sock=small, limit=4096) as (reader, writer):
        cookies = "; ".join(f"{cookie.key}={cookie.value}" for cookie in caller.session.cookie_jar)
        lines = [f"GET {host.config.prefix}/api/v1{path} HTTP/1.1", "Host: localhost", f"Cookie: {cookies}"]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        yield SlowReader(host, reader, known)


@pytest.mark.parametrize(
    "path",
    ["/jobs/{job_id}/output", "/jobs/{job_id}/output?offset=0&limit=16777216", "/jobs/{job_id}/events"],
)
async def test_a_slow_reader_goes_on_reading(start_host: StartHost, path: str) -> None:
    """Of 60 MB, those get no more than was on its way who did not read while they had the right."""
    host = await start_host(**QUICKLY, max_output_bytes=1024, max_log_bytes=64 * 1024 * 1024)
    owner, caller = host.caller("task_manager"), await host.signed_in("task_manager")
    job_id = (await owner.run(FLOOD))["JobID"]
    async with not_reading(host, caller, path.format(job_id=job_id)) as stream:
        await stream.holds_up_the_host()
        await caller.request("POST", f"{host.address}/logout")
        await stream.is_given_up()
        taken = await stream.rest()
    assert len(taken) < 15_000_000
    assert not taken.endswith(b"0\r\n\r\n")


async def test_a_slow_reader_of_a_list_goes_on_reading(start_host: StartHost) -> None:
    host = await start_host(**QUICKLY)
    owner, caller = host.caller("task_manager"), await host.signed_in("task_manager")
    for _ in range(12):
        await owner.run("head -c 1000000 /dev/zero | tr '\\0' x")
    async with not_reading(host, caller, "/jobs/results") as stream:
        await stream.holds_up_the_host()
        await caller.request("POST", f"{host.address}/logout")
        await stream.is_given_up()
        assert len(await stream.rest()) < 12_000_000


async def test_who_cannot_be_known_any_more_goes_on_reading(start_host: StartHost) -> None:
    """The host's resolver hangs, or fails, once the stream is open."""
    calls: dict[str, int] = {}

    async def resolve(request: web.Request) -> Identity | None:
        how = request.headers["X-User"]
        calls[how] = calls.get(how, 0) + 1
        if calls[how] > 1:
            if how == "fails":
                raise RuntimeError("the database is away")
            await asyncio.Event().wait()
        return Identity("alice", roles=frozenset({"task_manager"}))

    host = await start_host(**QUICKLY, identity_resolver=resolve)
    for how in ("fails", "hangs"):
        caller = host.stranger()
        url, headers = f"{caller.base}/jobs/feed", {"X-User": how}
        async with caller.session.get(url, headers=headers, timeout=ClientTimeout(total=SECONDS)) as stream:
            assert b"hello" in await stream.content.readany()
            assert await at_end(stream)


async def test_a_session_that_its_storage_has_dropped_goes_on_reading(
    make_config: Callable[..., aiohttp_jobs.JobsConfig],
) -> None:
    """A host with sessions on its side may delete one without telling the plugin."""
    kept: dict[str, Any] = {}
    app = web.Application()
    aiohttp_session.setup(app, Memory(kept))
    config = make_config(**QUICKLY)
    aiohttp_jobs.setup(app, config)
    host = await serve(app, config)
    try:
        caller = await host.signed_in("task_manager")
        timeout = ClientTimeout(total=SECONDS)
        async with caller.session.get(f"{caller.base}/jobs/feed", timeout=timeout) as stream:
            assert b"hello" in await stream.content.readany()
            kept.clear()
            assert await at_end(stream)
    finally:
        await host.stop()


async def test_whoever_keeps_the_right_is_not_cut_off(start_host: StartHost, tmp_path: Any) -> None:
    gate = Gate(tmp_path / "gate")
    host = await start_host(heartbeat_interval=0.05)
    caller = await host.signed_in("task_manager")
    body = {"jobName": "j", "command": gate.shell, "executionMode": "BackgroundJob"}
    asking = asyncio.create_task(caller.request("POST", "/jobs/submit?wait=60", json=body))
    await gate.reached()
    await asyncio.sleep(0.5)
    gate.open()
    assert (await asking).body["result"]["Status"] == "Succeeded"
