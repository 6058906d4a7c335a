"""Long responses, such as event streams: how many are open at once, per user and in total, and their end when
their caller loses their rights, or disconnects.

aiohttp tells a handler that its client has gone only when it writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from ..errors import AuthenticationError, LimitReachedError, RightsUnavailableError
from .auth.middleware import heartbeat_of, identity_again, identity_now
from .request_keys import IDENTITY

LARGE_BYTES = 64 * 1024
"""An answer up to this size is on its way at once, however slowly it is read."""
_LOOKS = 0.75
"""How long after one look comes the next, and what is left of a heartbeat for the look itself."""
_LEFT_SECONDS = 1.0
"""How often it is looked whether somebody is still there."""
_logger = logging.getLogger(__name__)


class OpenStreams:
    """Counts the open streams of this process: at most `most_per_user` of each user and `most` in total."""

    def __init__(self, most_per_user: int, most: int) -> None:
        self._most_per_user = most_per_user
        self._most = most
        self._open: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many streams are open, of all users."""
        return self._open.total()

    @contextmanager
    def one_more(self, user_id: str) -> Iterator[None]:
        """Count one stream while the block runs. Raises `LimitReachedError` when there are too many."""
        opened = self._open.get(user_id, 0)
        if opened >= self._most_per_user:
            raise _too_many("max_streams_per_user", self._most_per_user, opened, of_all=False)
        if (total := self._open.total()) >= self._most:
            raise _too_many("max_streams", self._most, total, of_all=True)
        self._open[user_id] = opened + 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]


OPEN_STREAMS: web.AppKey[OpenStreams] = web.AppKey("aiohttp_jobs.open_streams", OpenStreams)


def open_stream(request: web.Request) -> AbstractContextManager[None]:
    """Count `request` as an open stream while the block runs, which raises `LimitReachedError` at its
    beginning: let it be the first.
    """
    return request.app[OPEN_STREAMS].one_more(request[IDENTITY].user_id)


def _too_many(setting: str, most: int, used: int, *, of_all: bool) -> LimitReachedError:
    return LimitReachedError(
        setting,
        most=most,
        used=used,
        what="streams, downloads and waiting requests open",
        advice="Close one, or try again in a moment.",
        of_all=of_all,
    )


@dataclass(slots=True)
class RightsWatch:
    """`has_ended` becomes true when the block is ended because the caller's rights have."""

    has_ended: bool = False


def seconds_unwatched(request: web.Request) -> float:
    """For how long `while_rights_last` looks at nothing: what does not take longer does without it."""
    return min(_LEFT_SECONDS, _LOOKS * heartbeat_of(request))


@asynccontextmanager
async def while_rights_last(request: web.Request, waited: float = 0.0) -> AsyncIterator[RightsWatch]:
    """End the block, without an exception, once the request's identity or roles have changed.

    That is noticed within one ``heartbeat_interval``, whatever the block is waiting for; a disconnected
    client is noticed within a second. What was not sent yet is dropped with the connection. Both are counted
    from `waited` seconds ago.
    """
    watch = RightsWatch()
    try:
        async with asyncio.timeout(None) as limit:
            looks = _Looks(request, limit, waited)
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
    """Whether the request still proves the same identity with the same roles as when it arrived."""
    try:
        async with asyncio.timeout((1 - _LOOKS) * heartbeat_of(request)):
            return await identity_now(request) == request[IDENTITY]
    except Exception as error:
        # Who cannot be known is nobody.
        _logger.warning(
            "Who sent %s %s cannot be found out any more: %r", request.method, request.path, error
        )
        return False


async def require_rights_still(request: web.Request) -> None:
    """Raise `AuthenticationError` unless the request still proves the same identity and roles.

    Raises `RightsUnavailableError` when that cannot be found out, such as when the host's user table is away.
    """
    try:
        async with asyncio.timeout((1 - _LOOKS) * heartbeat_of(request)):
            is_same = await identity_again(request) == request[IDENTITY]
    except TimeoutError:
        raise RightsUnavailableError from None
    if not is_same:
        raise AuthenticationError


class RevocableResponse(web.Response):
    """A long response that is aborted when the caller loses their rights.

    The connection is closed with it, so that the client does not take it for complete.
    """

    _asked: web.BaseRequest | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._asked = request
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        request = self._asked
        if not isinstance(request, web.Request) or IDENTITY not in request:
            await super().write_eof(data)
            return
        async with while_rights_last(request) as watch:
            await super().write_eof(data)
        if watch.has_ended:
            break_off(request)


def break_off(request: web.Request) -> web.Response:
    """Abort a response: close the connection and drop what was not sent, so that it is not taken for
    complete.

    The return value goes nowhere; it is for handlers, which have to return a response.
    """
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class _Looks:
    """Looks now and then whether `request` is still there, with its rights; lets `limit` pass when not."""

    def __init__(self, request: web.Request, limit: asyncio.Timeout, waited: float) -> None:
        self._request = request
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        # A timer, and a task only when it has run out: most of what is waited for comes before.
        self._timer = self._loop.call_later(_LOOKS * heartbeat_of(request) - waited, self._begin)
        self._left_timer = self._loop.call_later(_LEFT_SECONDS - waited, self._notice_who_left)

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
