"""Response classes that the host's middlewares must not compress or re-encode.

A host that calls ``enable_compression()`` on every response would compress what is compressed already, delay
streams, and invalidate lengths and ranges that were announced.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse

from ..system.jsontext import dumps

_BEGUN = "aiohttp_jobs.answer_has_begun"
_AT_ONCE = 32 * 1024
"""Less than transports of any event loop keep before they have their writer wait."""


def has_begun(request: web.Request) -> bool:
    """Whether a response has begun to be sent, so that it is too late to send another."""
    return bool(request.get(_BEGUN, False))


class _AsIs(web.StreamResponse):
    _asked: web.BaseRequest | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        request[_BEGUN] = True
        self._asked = request
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

    async def send_json(
        self, event: str, data: Any, *, position: str | None = None, retry: int | None = None
    ) -> None:
        """Send one event, whose id is `position`: `send` of the same, in a tenth of the time for a long one.

        Raises ``ConnectionResetError`` when the reader has left, and ``TimeoutError``, with the connection
        aborted, when it has taken nothing for `DEFAULT_SEND_TIMEOUT`.
        """
        start = (
            f"event: {event}\r\ndata: " if position is None else f"id: {position}\r\nevent: {event}\r\ndata: "
        )
        end = "\r\n\r\n" if retry is None else f"\r\nretry: {retry}\r\n\r\n"
        # JSON has no line breaks, so they are not looked for.
        text = b"".join((start.encode(), dumps(data), end.encode()))
        try:
            if self._takes_at_once(len(text)):
                await self.write(text)
            else:
                async with asyncio.timeout(self.DEFAULT_SEND_TIMEOUT):
                    await self.write(text)
        except ConnectionResetError:
            self.stop_streaming()
            raise
        except TimeoutError:
            self.stop_streaming()
            if self._asked is not None and self._asked.transport is not None:
                self._asked.transport.abort()
            raise

    def _takes_at_once(self, size: int) -> bool:
        """Whether so many bytes can be written without waiting for the reader, and need no time limit."""
        transport = None if self._asked is None else self._asked.transport
        return transport is not None and not transport.get_write_buffer_size() and size <= _AT_ONCE
