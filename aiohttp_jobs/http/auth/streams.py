"""Whatever goes on for longer than the rights of whoever asked for it ends with those rights.

So it does once they have left, which aiohttp tells a handler only when it writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from ...errors import AuthenticationError, RightsUnavailableError
from .middleware import heartbeat_of, identity_again, identity_now, identity_of, is_identified

LARGE_BYTES = 64 * 1024
"""An answer up to this size is on its way at once, however slowly it is read."""
_LOOKS = 0.75
"""How long after one look comes the next, and what is left of a heartbeat for the look itself."""
_LEFT_SECONDS = 1.0
"""How often it is looked whether somebody is still there."""
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RightsWatch:
    """`has_ended` tells whether the block was ended before its time, because the rights were."""

    has_ended: bool = False


@asynccontextmanager
async def while_rights_last(request: web.Request) -> AsyncIterator[RightsWatch]:
    """End the block, without an exception, once the request no longer proves the same identity and roles.

    That is found out within a ``heartbeat_interval``, whatever the block is doing: waiting for something to
    happen, or for a reader that does not read. So does one whose reader has left, within a second. What
    such a reader has not been sent yet is dropped with the connection.
    """
    watch = RightsWatch()
    try:
        async with asyncio.timeout(None) as limit:
            looks = _Looks(request, limit)
            try:
                yield watch
            finally:
                await looks.close()
    except TimeoutError:
        if not limit.expired():
            raise
        watch.has_ended = True
        _drop_unsent(request)


async def still_has_rights(request: web.Request) -> bool:
    """Whether the request proves the same identity, with the same roles, as when it came."""
    try:
        async with asyncio.timeout((1 - _LOOKS) * heartbeat_of(request)):
            return await identity_now(request) == identity_of(request)
    except Exception as error:
        # Who cannot be known is nobody.
        _logger.warning(
            "Who sent %s %s cannot be found out any more: %r", request.method, request.path, error
        )
        return False


async def require_rights_still(request: web.Request) -> None:
    """Raise `AuthenticationError` unless the request proves the same identity and roles as when it came.

    Raises `RightsUnavailableError` when that cannot be found out, as while the host's table of users is away.
    """
    try:
        async with asyncio.timeout((1 - _LOOKS) * heartbeat_of(request)):
            is_same = await identity_again(request) == identity_of(request)
    except TimeoutError:
        raise RightsUnavailableError from None
    if not is_same:
        raise AuthenticationError


class RevocableResponse(web.Response):
    """An answer that is sent for as long as the rights of whoever asked for it last.

    It breaks off with them, and the connection with it, so that it is not taken for a whole one.
    """

    _asked: web.BaseRequest | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._asked = request
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        request = self._asked
        if not isinstance(request, web.Request) or not is_identified(request):
            await super().write_eof(data)
            return
        async with while_rights_last(request) as watch:
            await super().write_eof(data)
        if watch.has_ended:
            break_off(request)


def break_off(request: web.Request) -> web.Response:
    """Close the connection, and drop what was not sent yet: the answer is not to be taken for a whole one.

    What is returned goes nowhere; it is for handlers, which have to return something.
    """
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class _Looks:
    """Looks now and then whether `request` is still there, with its rights; lets `limit` pass when not."""

    def __init__(self, request: web.Request, limit: asyncio.Timeout) -> None:
        self._request = request
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        # A timer, and a task only when it has run out: most of what is waited for comes before.
        self._timer = self._loop.call_later(_LOOKS * heartbeat_of(request), self._begin)
        self._left_timer = self._loop.call_later(_LEFT_SECONDS, self._notice_who_left)

    async def close(self) -> None:
        self._timer.cancel()
        self._left_timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._look(), name="aiohttp-jobs-rights")

    def _notice_who_left(self) -> None:
        if self._request.transport is None or self._request.transport.is_closing():
            self._limit.reschedule(self._loop.time())
        else:
            self._left_timer = self._loop.call_later(_LEFT_SECONDS, self._notice_who_left)

    async def _look(self) -> None:
        while True:
            if not await still_has_rights(self._request):
                break
            await asyncio.sleep(_LOOKS * heartbeat_of(self._request))
        self._limit.reschedule(self._loop.time())


def _drop_unsent(request: web.Request) -> None:
    # Otherwise the end of the answer would wait behind what is not read.
    if request.transport is not None and request.transport.get_write_buffer_size():
        break_off(request)
