"""Response classes that the host's middlewares must not compress or re-encode.

A host that calls ``enable_compression()`` on every response would compress what is compressed already, delay
streams, and invalidate lengths and ranges that were announced.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse

_BEGUN = "aiohttp_jobs.answer_has_begun"


def has_begun(request: web.Request) -> bool:
    """Whether a response has begun to be sent, so that it is too late to send another."""
    return bool(request.get(_BEGUN, False))


class _AsIs(web.StreamResponse):
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        request[_BEGUN] = True
        return await super().prepare(request)

    def enable_compression(
        self, force: bool | web.ContentCoding | None = None, strategy: int | None = None
    ) -> None:
        """Does nothing: see the module."""


class ResponseAsIs(_AsIs, web.Response):
    """A response that is compressed already, or has no body to compress."""


class StreamAsIs(_AsIs):
    """A streamed response whose length, range or digest was announced for the bytes as they are."""


class EventStream(_AsIs, EventSourceResponse):
    """A stream of Server-Sent Events, each of which must arrive at once."""
