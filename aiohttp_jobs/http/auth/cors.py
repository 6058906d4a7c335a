"""Cross-Origin Resource Sharing (WHATWG Fetch) for pages of trusted origins.

It only lets browsers send requests and read responses; whether a request is authorized is decided as always.
Origins that the host itself allows, such as with aiohttp-cors, are left to the host.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

_EXPOSED = ", ".join(
    (
        "Content-Disposition",
        "Content-Range",
        "ETag",
        "Retry-After",
        "X-Output-Attempt",
        "X-Output-Complete",
        "X-Output-Next",
        "X-Output-Offset",
    )
)
_MAX_AGE = "600"
"""Seconds for which a browser may remember the answer to a preflight."""


def preflight_middleware(trusted: Collection[str]) -> Middleware:
    """Answer preflight requests, which carry no credentials by design.

    If the host has an ``OPTIONS`` handler for the route, that handler gets the request.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_preflight(request):
            return await handler(request)
        unknown = request.match_info.http_exception
        if unknown is None and request.match_info.route.method == hdrs.METH_OPTIONS:
            return await request.match_info.handler(request)
        if request.headers[hdrs.ORIGIN] in trusted and isinstance(unknown, web.HTTPMethodNotAllowed):
            return _allowed(request, unknown.allowed_methods)
        return await handler(request)

    return middleware


def share_with(trusted: Collection[str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """An ``on_response_prepare`` handler that lets pages of `trusted` origins read the response."""

    async def share(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or origin not in trusted or hdrs.ACCESS_CONTROL_ALLOW_ORIGIN in response.headers:
            return
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)

    return share


def _is_preflight(request: web.Request) -> bool:
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ORIGIN in request.headers
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )


def _allowed(request: web.Request, methods: Collection[str]) -> web.Response:
    """The headers of who answers are added by `share_with`."""
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
        hdrs.ACCESS_CONTROL_MAX_AGE: _MAX_AGE,
        hdrs.VARY: f"{hdrs.ACCESS_CONTROL_REQUEST_HEADERS}, {hdrs.ACCESS_CONTROL_REQUEST_METHOD}",
    }
    wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS)
    if wanted is not None:  # whoever may ask with a user's session may send what headers they like
        headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = wanted
    return web.Response(status=204, headers=headers)
