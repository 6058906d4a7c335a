"""``/api/v1/jobs/feed``: follows the list of jobs by Server-Sent Events (WHATWG HTML)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

from aiohttp import web
from aiohttp_sse import sse_response

from ..errors import ForbiddenError, LimitReachedError
from ..services.streams.job_list import JobListChange
from .app_keys import CONFIG, SERVICE
from .as_is import EventStream
from .auth.middleware import needs
from .open_streams import open_stream, while_rights_last
from .operations import Content, operation
from .parameters import SCOPE
from .request_keys import IDENTITY

_RETRY_MILLISECONDS = 1000
_EVENT = {
    "description": "One event of the stream.",
    "type": "object",
    "properties": {
        "event": {"enum": ["hello", "job", "removed", "resync"]},
        "data": {
            "type": "string",
            "description": "JSON; of a `job`, as in the list of jobs; of `hello`, the reader's `userId`.",
        },
        "retry": {"type": "integer"},
    },
}

routes = web.RouteTableDef()


@routes.get("/api/v1/jobs/feed")
@operation(
    "Follow the list of jobs",
    {200: Content("text/event-stream", "Server-Sent Events (WHATWG HTML).", schema=_EVENT)},
    parameters=(SCOPE,),
    errors=(ForbiddenError, LimitReachedError),
)
@needs("list_jobs", everyone="see_all_jobs")
async def watch_jobs(request: web.Request) -> web.StreamResponse:
    """A stream of the events ``hello``, ``job``, ``removed`` and ``resync``; ``scope=all`` as for the list.

    ``hello`` names the user whose stream it is. Load the list after it and after each ``resync``; every later
    change comes as an event. The stream is closed now and then, so that rights are checked again on
    reconnection.
    """
    everyone = SCOPE.of(request) == "all"
    changes = request.app[SERVICE].watch_jobs(request[IDENTITY], everyone=everyone)
    # The watcher may leave, even before the first byte.
    with open_stream(request), suppress(ConnectionResetError, TimeoutError):
        async with aclosing(changes), sse_response(
            request,
            headers={"X-Accel-Buffering": "no"},
            ping_interval=request.app[CONFIG].heartbeat_interval,
            response_cls=EventStream,
        ) as response, while_rights_last(request):  # fmt: skip
            await _send(response, changes, request[IDENTITY].user_id)
        return response
    return web.Response()


async def _send(response: EventStream, changes: AsyncIterator[JobListChange], user_id: str) -> None:
    with suppress(ConnectionResetError, TimeoutError):
        async for change in changes:
            if change.name != "heartbeat":
                data = {"userId": user_id} if change.name == "hello" else change.data
                await response.send_json(change.name, data, retry=_RETRY_MILLISECONDS)
            elif not response.is_connected():
                return
