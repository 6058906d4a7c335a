"""What becomes of an answer when something fails while it is made."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiohttp import ClientPayloadError, ClientSession, web
from aiohttp.test_utils import TestServer

from aiohttp_jobs.errors import StorageUnavailableError
from aiohttp_jobs.http.as_is import EventStream, StreamAsIs
from aiohttp_jobs.http.envelope import error_middleware

from ..gate import PATIENCE_SECONDS
from ..raw_streams import connected


@pytest.mark.parametrize("kind", [StreamAsIs, EventStream])
async def test_a_stream_that_fails_breaks_off_and_nothing_else_follows_in_it(
    kind: type[web.StreamResponse],
) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = kind()
        await response.prepare(request)
        await response.write(b"data: one\r\n\r\n")
        await asyncio.sleep(0.05)
        raise StorageUnavailableError

    app = web.Application(middlewares=[error_middleware])
    app.router.add_get("/", stream)
    async with (
        TestServer(app) as server,
        ClientSession() as session,
        session.get(server.make_url("/")) as response,
    ):
        with pytest.raises(ClientPayloadError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await response.read()


async def test_a_reader_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventStream, "DEFAULT_SEND_TIMEOUT", 0.05)
    has_given_up = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = EventStream()
        await response.prepare(request)
        with suppress(TimeoutError):
            while True:
                await response.send_json("output", {"Text": "x" * 1_000_000})
        assert request.transport is None or request.transport.is_closing()
        has_given_up.set()
        return response

    app = web.Application()
    app.router.add_get("/", stream)
    async with TestServer(app) as server, connected("127.0.0.1", server.port) as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await has_given_up.wait()
