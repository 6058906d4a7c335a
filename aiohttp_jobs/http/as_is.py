"""Answers that are sent byte for byte as they were made, whatever the host's middlewares do to all answers.

A host that calls ``enable_compression()`` on every answer would otherwise compress what is compressed
already, hold back what is a stream, and change lengths and ranges that were told.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp_sse import EventSourceResponse


class _AsIs(web.StreamResponse):
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
