"""``POST /mcp``: the protocol's transport "Streamable HTTP".

Each message is answered with JSON or, if a tool reports progress, with a stream of Server-Sent Events that
ends with the answer.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from aiohttp import hdrs, web

from ...config import JobsConfig
from ...errors import InvalidFieldsError, MalformedJSONError
from ...system.jsontext import dumps
from ..app_keys import CONFIG
from ..as_is import StreamAsIs
from ..auth.middleware import needs
from ..auth.origin import require_same_origin
from ..bodies import read_object
from ..envelope import raw_answer
from ..openapi.document import host_limits
from ..operations import unlisted
from .catalogue import Catalogue
from .messages import INVALID_REQUEST, PARSE_ERROR, Message, MessageID, RpcError, id_of, read_message
from .methods import ToolCall, answer_to, call_tool, completed

CATALOGUE = web.AppKey("aiohttp_jobs.mcp_catalogue", Catalogue)

_ONE_MESSAGE = "The body must be one JSON object: this revision of the protocol has no batches."

# aiohttp-sse answers GET alone.
_EVENTS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def mcp_routes(jobs_app: web.Application, config: JobsConfig, interpreters: list[str]) -> list[web.RouteDef]:
    """The protocol's one route."""
    jobs_app[CATALOGUE] = Catalogue(jobs_app, host_limits(config, interpreters))
    return [web.post("/mcp", serve_agent)]


@unlisted
@needs()
async def serve_agent(request: web.Request) -> web.StreamResponse:
    """Handle one message. As there are no sessions, GET and DELETE are not allowed (405)."""
    config = request.app[CONFIG]
    # Also of who has an API key: no page of another site is to speak through its reader's browser.
    require_same_origin(request, config.trusted_origins, config.trusted_proxies)
    message_id: MessageID = None
    try:
        data = await _read(request)
        message_id = id_of(data)
        message = read_message(data, request.headers)
        if message.is_notification:
            return web.Response(status=202)
        found = await answer_to(request, message, request.app[CATALOGUE])
        if not isinstance(found, ToolCall):
            return _answered(message, found)
        if found.tool.tells and message.progress_token is not None and _takes_events(request):
            return await _told(request, message, found)
        return _answered(message, await call_tool(request, found))
    except RpcError as error:
        return raw_answer(dumps(error.to_json(message_id)), status=error.status)


async def _read(request: web.Request) -> dict[str, Any]:
    try:
        return await read_object(request, request.app[CONFIG].max_body_bytes)
    except MalformedJSONError as error:
        raise RpcError(PARSE_ERROR, error.message) from None
    except InvalidFieldsError:
        raise RpcError(INVALID_REQUEST, _ONE_MESSAGE) from None


async def _told(request: web.Request, message: Message, wanted: ToolCall) -> web.StreamResponse:
    """The answer as the last event of a stream, after those that tell how far the tool is."""
    response = StreamAsIs(headers=_EVENTS)
    await response.prepare(request)

    async def send(data: dict[str, Any]) -> None:
        await response.write(b"event: message\ndata: %s\n\n" % dumps(data))

    async def tell(progress: float, total: float | None, text: str) -> None:
        params: dict[str, Any] = {"progressToken": message.progress_token, "progress": progress}
        params |= {} if total is None else {"total": total}
        params |= {"message": text} if text else {}
        await send({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})

    with suppress(ConnectionError):  # whoever asked has left
        try:
            answer = _result(message, await call_tool(request, wanted, tell))
        except RpcError as error:
            answer = error.to_json(message.id)
        await send(answer)
        await response.write_eof()
    return response


def _answered(message: Message, result: dict[str, Any]) -> web.Response:
    return raw_answer(dumps(_result(message, result)))


def _result(message: Message, result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message.id, "result": completed(result, message)}


def _takes_events(request: web.Request) -> bool:
    return "text/event-stream" in request.headers.get(hdrs.ACCEPT, "")
