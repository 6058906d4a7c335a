"""What becomes of an answer when something fails while it is made."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientPayloadError, ClientSession, web
from aiohttp.test_utils import TestServer

from aiohttp_jobs.errors import StorageUnavailableError
from aiohttp_jobs.http.as_is import EventStream, StreamAsIs
from aiohttp_jobs.http.envelope import error_middleware

from ..gate import PATIENCE_SECONDS


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
