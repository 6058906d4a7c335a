"""``/api/v1/jobs/{id}/events``: follows one job by Server-Sent Events (WHATWG HTML)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from aiohttp_sse import sse_response

from ..errors import ForbiddenError, LimitReachedError, NotFoundError
from ..services.streams.job import CURRENT, StreamEvent
from .app_keys import CONFIG, SERVICE
from .as_is import EventStream
from .auth.middleware import needs
from .envelope import path_id
from .jobs import JOB
from .open_streams import open_stream, while_rights_last
from .operations import Content, operation
from .parameters import Choice, Matching, MatchingHeader
from .request_keys import IDENTITY

_RETRY_MILLISECONDS = 1000
_POSITION = "([0-9]{1,3})-([0-9]{1,15})"
_MESSAGE = "must be the id of an event of this job, such as '1-2048'"
_HEADER = MatchingHeader(
    name="Last-Event-ID",
    pattern=_POSITION,
    message=_MESSAGE,
    example="1-2048",
    description="The id of the last event that was received: resume after it.",
)
_QUERY = Matching(
    name="lastEventId",
    pattern=_POSITION,
    message=_MESSAGE,
    example="1-2048",
    description="The same as the header `Last-Event-ID`, for clients that cannot set it.",
)
_FOLLOW = Choice(
    name="follow",
    choices=("0", "1"),
    default="1",
    description="0: end the stream after all events so far, within two seconds.",
)
_PAUSE_SECONDS = 0.25
_SO_FAR_SECONDS = 2.0
_EVENT = {
    "description": "One event of the stream.",
    "type": "object",
    "properties": {
        "event": {"enum": ["hello", "output", "status", "progress", "end"]},
        "data": {
            "type": "string",
            "description": "JSON; of `hello`, the reader's `userId`; of `progress`, `share` (0 to 1, null: "
            "unknown) and `text`, or an empty object when the job shows none any more.",
        },
        "id": {"type": "string", "pattern": f"^{_POSITION}$"},
        "retry": {"type": "integer"},
    },
}

routes = web.RouteTableDef()


@routes.get(JOB + "/events")
@operation(
    "Follow a job",
    {200: Content("text/event-stream", "Server-Sent Events (WHATWG HTML).", schema=_EVENT)},
    parameters=(_HEADER, _QUERY, _FOLLOW),
    errors=(ForbiddenError, NotFoundError, LimitReachedError),
)
@needs()
async def follow_job(request: web.Request) -> web.StreamResponse:
    """A stream of the events ``hello``, ``output``, ``status``, ``progress`` and ``end``.

    ``hello`` comes first and names the user whose stream it is. ``Last-Event-ID`` resumes the stream without
    gaps or repeats. ``end`` comes last; close the stream then, or the browser will connect again and get
    another ``end``.
    """
    start = _start(request)
    events = await request.app[SERVICE].follow(request[IDENTITY], path_id(request, "job"), start)
    if _FOLLOW.of(request) == "0":
        events = _so_far(events)
    with open_stream(request):
        return await _send(request, events)


async def _send(request: web.Request, events: AsyncIterator[StreamEvent]) -> web.StreamResponse:
    async with sse_response(
        request,
        headers={"X-Accel-Buffering": "no"},
        ping_interval=request.app[CONFIG].heartbeat_interval,
        response_cls=EventStream,
    ) as response:
        with suppress(ConnectionResetError, TimeoutError):  # the watcher has left
            async with while_rights_last(request):
                await _tell(response, events, request[IDENTITY].user_id)
    return response


async def _tell(response: EventStream, events: AsyncIterator[StreamEvent], user_id: str) -> None:
    await response.send_json("hello", {"userId": user_id}, retry=_RETRY_MILLISECONDS)
    async for event in events:
        if event.name != "heartbeat":
            await response.send_json(event.name, event.data, position=event.position)
        elif not response.is_connected():
            break


async def _so_far(events: AsyncIterator[StreamEvent]) -> AsyncIterator[StreamEvent]:
    """What there is to tell now: up to the first pause."""
    clock = asyncio.get_running_loop().time
    end = clock() + _SO_FAR_SECONDS
    with suppress(TimeoutError, StopAsyncIteration):
        while clock() < end:
            async with asyncio.timeout(_PAUSE_SECONDS):
                event = await anext(events)
            yield event


def _start(request: web.Request) -> tuple[int, int]:
    match = _HEADER.of(request) or _QUERY.of(request)
    return (int(match[1]), int(match[2])) if match else CURRENT
