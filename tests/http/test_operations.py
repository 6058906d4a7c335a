"""What a handler says of itself is what it is called with."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from aiohttp_jobs.http.operations import operation, read_parameters
from aiohttp_jobs.http.parameters import Count


async def test_a_parameter_that_is_not_declared_cannot_be_read(aiohttp_client: Any) -> None:
    declared, undeclared = Count(name="a", default=1, most=2), Count(name="b", default=1, most=2)

    @operation("Test", {}, parameters=(declared,))
    async def handler(request: web.Request) -> web.Response:
        read_parameters(request, handler)  # as the middleware does before it calls one
        assert declared.of(request) == 2
        with pytest.raises(LookupError):
            undeclared.of(request)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handler)
    client = await aiohttp_client(app)
    assert (await client.get("/?a=2&b=2")).status == 200
