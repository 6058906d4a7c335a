"""What pages of other origins may do: the check (against CSRF) of state-changing requests that a cookie
authenticates, and Cross-Origin Resource Sharing (WHATWG Fetch) for pages of trusted origins.

Sharing only lets browsers send requests and read responses; whether a request is authorized is decided as
always. Origins that the host itself allows, such as with aiohttp-cors, are left to the host.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ...errors import CrossOriginError

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST = 200
_logger = logging.getLogger(__name__)
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


def require_same_origin(
    request: web.Request, trusted: Collection[str], proxies: Collection[str] = ()
) -> None:
    """Raise `CrossOriginError` for a state change that a page of another origin asked for.

    Browsers tell in ``Sec-Fetch-Site`` (Fetch Metadata), which is their own word whatever a proxy made of
    ``Host``, or in ``Origin`` (RFC 6454), which is compared with ``Host``, or with ``X-Forwarded-Host`` of
    one of `proxies` (addresses and networks). `trusted` are origins that may ask all the same.
    """
    if request.method in _SAFE_METHODS:
        return
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if site == "same-origin" or (origin is not None and origin in trusted):
        return
    if site is not None and site != "none":
        raise CrossOriginError
    if origin is not None and not any(_is_at(origin, host) for host in _hosts(request, proxies)):
        _logger.warning(
            "A request from a page of %r was refused: it was sent to %r. If that page is the application's "
            "own, let the proxy pass the Host header, or name its origin in trusted_origins.",
            origin[:_LONGEST],
            request.host[:_LONGEST],
        )
        raise CrossOriginError


def require_no_form(request: web.Request) -> None:
    """Raise `CrossOriginError` for a POST that a form on another site could have sent.

    It is none when the browser says where it comes from (see `require_same_origin`, which judges that), or
    when it has what no form can send: JSON, or the header ``X-Requested-With``. Browsers that say nothing
    are old; they ask before they send such a request from another site (CORS), as they do before every
    method but GET and POST.
    """
    if request.method != "POST" or request.content_type == "application/json":
        return
    if "Origin" in request.headers or "X-Requested-With" in request.headers:
        return
    if request.headers.get("Sec-Fetch-Site") != "same-origin":
        raise CrossOriginError(
            "This request could have come from a form on another site. Send it with "
            "'Content-Type: application/json' or with an 'X-Requested-With' header."
        )


def _hosts(request: web.Request, proxies: Collection[str]) -> list[str]:
    """What the browser may have been told to connect to."""
    forwarded = request.headers.get("X-Forwarded-Host")
    if forwarded is None or not _is_one_of(request.remote, proxies):
        return [request.host]
    return [request.host, forwarded.split(",")[-1].strip()]


def _is_one_of(remote: str | None, networks: Collection[str]) -> bool:
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ipaddress.ip_network(network) for network in networks)


def _is_at(origin: str, host: str) -> bool:
    """Compares host and port only: behind a TLS proxy the host does not know its own scheme."""
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
    except ValueError:
        return False


def preflight_middleware(trusted: Collection[str]) -> Middleware:
    """Answer preflight requests, which carry no credentials by design.

    If the host has an ``OPTIONS`` handler for the route, that handler gets the request.
    """

    # No coroutine of its own for each request, nearly all of which are no preflight.
    @web.middleware
    def middleware(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        return answer(request, handler) if _is_preflight(request) else handler(request)

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
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
