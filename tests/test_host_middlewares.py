"""Middlewares that hosts have for all of their routes, written without this plugin in mind; it works."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp_cors
import aiohttp_remotes
import aiohttp_session
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

import aiohttp_jobs
from aiohttp_jobs import JobsConfig
from aiohttp_jobs.client import ClientError, JobsClient
from aiohttp_jobs.engine.embedded.api_keys import ApiKeys

from .conftest import Caller, Host, serve
from .streams import Stream

StartHost = Callable[..., Awaitable[Host]]
JOB = {"jobName": "j", "command": "echo hello", "executionMode": "BackgroundJob"}
AS_JSON = {"Content-Type": "application/json"}
ELSEWHERE = "https://app.example.org"


def application(*middlewares: Middleware) -> web.Application:
    return web.Application(middlewares=middlewares)


@pytest.fixture(autouse=True)
def nothing_fails_behind_the_answers(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever aiohttp's server logs as an error, though the answer was sent."""
    yield
    assert [each for each in caplog.records if each.name == "aiohttp.server"] == []


async def all_works(host: Host, alice: Caller) -> None:
    """Submit, watch, read and delete, as the command line does and as a browser does."""
    answer = await alice.request("POST", "/jobs/submit?wait=30", json=JOB)
    assert (answer.status, answer.body["result"]["Output"]) == (200, "hello\n"), answer.body
    job_id = answer.body["jobId"]
    stream = Stream(alice, job_id)
    await stream.read()
    assert (stream.text, stream.ended) == ("hello\n", True)
    piece = await alice.request("GET", f"/jobs/{job_id}/output?offset=1")
    assert (piece.status, piece.body) == (200, "ello\n")
    output = await alice.request("GET", f"/jobs/{job_id}/output", headers={"Range": "bytes=1-2"})
    assert (output.status, output.body) == (206, "el")
    assert (await alice.request("GET", f"/jobs/{job_id}/output")).body == "hello\n"
    again = await alice.request("POST", f"/jobs/{job_id}/rerun?wait=30", headers={"X-Requested-With": "test"})
    assert again.status == 200, again.body
    assert (await alice.request("DELETE", f"/jobs/results?jobId={job_id}")).status == 200
    page = await alice.request("GET", f"{host.address}{host.config.prefix}/")
    assert page.body.startswith("<!doctype html>")
    script = page.body.split('modulepreload" href="')[1].split('"')[0]
    for accepted in ("gzip", "identity"):
        headers = {"Accept-Encoding": accepted}
        asset = await alice.request("GET", f"{host.address}{host.config.prefix}/{script}", headers=headers)
        assert (asset.status, asset.body[:2]) == (200, "//"), asset.body[:40]
    known = {"If-None-Match": asset.headers["ETag"]}
    assert (
        await alice.request("GET", f"{host.address}{host.config.prefix}/{script}", headers=known)
    ).status == 304
    wrong = await alice.request(
        "POST", "/jobs/submit", json={"jobName": "j"}, headers={"X-Requested-With": "test"}
    )
    assert (wrong.status, wrong.body["code"]) == (422, "invalid_fields")


# --- that read the body


@web.middleware
async def reads(request: web.Request, handler: Handler) -> web.StreamResponse:
    await request.read()
    return await handler(request)


@web.middleware
async def reads_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.content_type == "application/json":
        await request.json()
    return await handler(request)


@web.middleware
async def reads_text(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.body_exists:
        await request.text()
    return await handler(request)


@web.middleware
async def reads_form(request: web.Request, handler: Handler) -> web.StreamResponse:
    (await request.post()).get("csrf_token")
    return await handler(request)


@pytest.mark.parametrize("reading", [reads, reads_json, reads_text, reads_form])
async def test_bodies_that_were_read_before(start_host: StartHost, reading: Middleware) -> None:
    host = await start_host(application(reading))
    await all_works(host, host.caller("debug"))
    large = json.dumps({**JOB, "command": "#" * 1_200_000}).encode()
    answer = await host.caller("debug").request(
        "POST", "/jobs/submit", data=io.BytesIO(large), headers=AS_JSON
    )
    assert answer.status == 413


# --- that change answers


@web.middleware
async def compresses(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    response.enable_compression()
    return response


async def compress_when_prepared(_request: web.Request, response: web.StreamResponse) -> None:
    response.enable_compression()


async def add_header(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Strict-Transport-Security"] = "max-age=1"


@web.middleware
async def adds_header_afterwards(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


@web.middleware
async def catches_all(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.Response(status=error.status, headers=error.headers, text=error.text)
    except Exception:
        return web.Response(status=500, text="sorry")


@pytest.mark.parametrize("middleware", [compresses, adds_header_afterwards, catches_all])
async def test_answers_that_are_changed(start_host: StartHost, middleware: Middleware) -> None:
    host = await start_host(application(middleware))
    await all_works(host, host.caller("debug"))


@pytest.mark.parametrize("signal", [compress_when_prepared, add_header])
async def test_signals_before_each_answer(start_host: StartHost, signal: Any) -> None:
    app = web.Application()
    app.on_response_prepare.append(signal)
    host = await start_host(app)
    await all_works(host, host.caller("debug"))


async def test_what_is_compressed_already_is_compressed_once(start_host: StartHost) -> None:
    host = await start_host(application(compresses))
    page = await host.stranger().request("GET", f"{host.address}{host.config.prefix}/")
    assert page.headers["Content-Encoding"] == "gzip"
    assert page.body.startswith("<!doctype html>")


@web.middleware
async def shows_pages_for_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if response.status < 400:
        return response
    return web.Response(status=response.status, text="<h1>Oops</h1>", content_type="text/html")


async def test_errors_that_became_pages_are_still_told_in_a_sentence(start_host: StartHost) -> None:
    host = await start_host(application(shows_pages_for_errors))
    _, secret = ApiKeys.in_data_dir(host.config.data_dir).create(name="t", user_id="alice", roles=["debug"])
    async with JobsClient(host.api.removesuffix("/api/v1"), secret) as client:
        with pytest.raises(ClientError, match="The server answered 404") as refused:
            await client.job("11111111-1111-4111-8111-111111111111")
    assert refused.value.status == 404


# --- that look at addresses


async def test_paths_that_are_normalised(start_host: StartHost) -> None:
    for options in ({}, {"append_slash": False, "remove_slash": True}):
        host = await start_host(
            application(web.normalize_path_middleware(**options)), prefix=f"/jobs{len(options)}"
        )
        await all_works(host, host.caller("debug"))


async def test_a_proxy_whose_word_on_addresses_is_taken(start_host: StartHost) -> None:
    app = web.Application()
    await aiohttp_remotes.setup(app, aiohttp_remotes.XForwardedRelaxed())
    host = await start_host(app)
    alice = host.caller("debug")
    alice.session.headers.update({"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})
    await all_works(host, alice)


@web.middleware
async def clones(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await handler(request.clone(remote="203.0.113.7"))


@pytest.mark.parametrize("when", ["before", "after"])
async def test_requests_that_are_cloned_sign_in_too(
    make_config: Callable[..., JobsConfig], when: str
) -> None:
    """Also those that are cloned behind the middleware that keeps the session."""
    app, config = web.Application(), make_config()
    if when == "before":
        app.middlewares.append(clones)
    aiohttp_jobs.setup(app, config)
    if when == "after":
        app.middlewares.append(clones)
    host = await serve(app, config)
    try:
        await all_works(host, await host.signed_in("debug"))
    finally:
        await host.stop()


# --- that keep sessions


class InMemory(aiohttp_session.AbstractStorage):
    """Keeps sessions on the server, as the Redis and memcached storages do."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, dict[str, Any]] = {}

    async def load_session(self, request: web.Request) -> aiohttp_session.Session:
        key = self.load_cookie(request)
        data = self._kept.get(key) if key else None
        new = {"session": {}, "created": None}
        return aiohttp_session.Session(key, data=data or new, new=data is None, max_age=self.max_age)

    async def save_session(
        self, request: web.Request, response: web.StreamResponse, session: aiohttp_session.Session
    ) -> None:
        key = str(session.identity or f"session-{len(self._kept)}")
        self._kept[key] = json.loads(json.dumps(self._get_session_data(session)))
        self.save_cookie(response, key, max_age=session.max_age)


@pytest.mark.parametrize("storage", [aiohttp_session.SimpleCookieStorage, InMemory])
@pytest.mark.filterwarnings("ignore:class SimpleCookieStorage")
async def test_sessions_of_the_hosts_own(
    start_host: StartHost, storage: Callable[[], aiohttp_session.AbstractStorage]
) -> None:
    app = web.Application()
    aiohttp_session.setup(app, storage())
    host = await start_host(app)
    await all_works(host, await host.signed_in("debug"))


# --- that let other origins in


def preflight(method: str = "POST", origin: str = ELSEWHERE) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }


async def is_let_in(host: Host, alice: Caller, *, session: bool) -> None:
    """As a browser asks for a page of another origin."""
    asked = await host.stranger().request("OPTIONS", f"{host.api}/jobs/submit", headers=preflight())
    assert asked.status in (200, 204), asked.body
    assert asked.headers["Access-Control-Allow-Origin"] == ELSEWHERE
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    allowed = asked.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    headers = {"Origin": ELSEWHERE, "Sec-Fetch-Site": "cross-site"}
    answer = await alice.request("POST", "/jobs/submit?wait=30", json=JOB, headers=headers)
    assert (answer.status, answer.body["result"]["Output"]) == (200, "hello\n")
    assert answer.headers.getall("Access-Control-Allow-Origin") == [ELSEWHERE]
    if session:
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_trusted_origins_need_nothing_else(start_host: StartHost) -> None:
    host = await start_host(trusted_origins=[ELSEWHERE])
    await is_let_in(host, host.caller("debug"), session=True)
    await is_let_in(host, await host.signed_in("debug"), session=True)
    await all_works(host, host.caller("debug"))
    # What went wrong can be read too.
    headers = {"Origin": ELSEWHERE}
    refused = await host.stranger().request("GET", "/jobs", headers=headers)
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, ELSEWHERE)


@pytest.mark.parametrize("trusted", [(), (ELSEWHERE,)])
async def test_the_loop_of_aiohttp_cors_readme(
    make_config: Callable[..., JobsConfig], trusted: tuple[str, ...]
) -> None:
    app, config = web.Application(), make_config(trusted_origins=trusted)
    aiohttp_jobs.setup(app, config)
    options = aiohttp_cors.ResourceOptions(allow_credentials=True, expose_headers="*", allow_headers="*")
    cors = aiohttp_cors.setup(app, defaults={ELSEWHERE: options})
    for route in list(app.router.routes()):
        cors.add(route)
    host = await serve(app, config)
    try:
        await is_let_in(host, host.caller("debug"), session=bool(trusted))
        await all_works(host, host.caller("debug"))
    finally:
        await host.stop()
