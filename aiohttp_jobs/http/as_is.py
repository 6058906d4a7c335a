"""Answers that are sent byte for byte as they were made, whatever the host's middlewares do to all answers.

A host that calls ``enable_compression()`` on every answer would otherwise compress what is compressed
already, hold back what is a stream, and change lengths and ranges that were told.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse

_BEGUN = "aiohttp_jobs.answer_has_begun"


def has_begun(request: web.Request) -> bool:
    """Whether a stream is being sent as the answer: another answer would be taken for the rest of it."""
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
    """An answer that is compressed already, or that has no body to compress."""


class StreamAsIs(_AsIs):
    """An answer in pieces, whose length, range or digest counts its bytes."""


class EventStream(_AsIs, EventSourceResponse):
    """Server-Sent Events, each of which has to arrive at once."""
