"""``/api/v1/jobs/{id}/events``: a job as it happens, by Server-Sent Events (WHATWG HTML)."""

from __future__ import annotations

import json
import re
from contextlib import suppress

from aiohttp import web
from aiohttp_sse import sse_response

from ..auth.middleware import identity_of
from ..auth.streams import while_known
from ..errors import InvalidFieldsError
from ..follow import CURRENT
from ..limits import field_error
from .envelope import path_job_id
from .jobs import JOB
from .keys import CONFIG, SERVICE

_RETRY_MILLISECONDS = 1000

routes = web.RouteTableDef()


@routes.get(JOB + "/events")
async def follow_job(request: web.Request) -> web.StreamResponse:
    """Events ``output``, ``status`` and ``end``. ``Last-Event-ID`` resumes without a gap or a repeat.

    ``end`` is the last; a client should close then, or it will be connected again and told so again.
    """
    start = _start(request)
    events = await request.app[SERVICE].follow(identity_of(request), path_job_id(request), start)
    async with sse_response(
        request,
        headers={"X-Accel-Buffering": "no"},
        ping_interval=request.app[CONFIG].heartbeat_interval,
    ) as response:
        with suppress(ConnectionResetError, TimeoutError):  # the watcher has left
            await response.send("", event="hello", retry=_RETRY_MILLISECONDS)
            async for event in while_known(request, events, request.app[CONFIG].heartbeat_interval):
                if event.name != "heartbeat":
                    await response.send(json.dumps(event.data), id=event.position, event=event.name)
                elif not response.is_connected():
                    break
    return response


def _start(request: web.Request) -> tuple[int, int]:
    text = request.headers.get("Last-Event-ID") or request.query.get("lastEventId")
    if not text:
        return CURRENT
    match = re.fullmatch(r"(\d{1,3})-(\d{1,15})", text)
    if match is None:
        message = "must be the id of an event of this job, such as '1-2048'"
        raise InvalidFieldsError(f"Last-Event-ID {message}.", details=[field_error("Last-Event-ID", message)])
    return int(match[1]), int(match[2])
