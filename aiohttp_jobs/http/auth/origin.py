"""The same-origin check (against CSRF) of state-changing requests that are authenticated by a cookie."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

from ...errors import CrossOriginError

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST = 200
_logger = logging.getLogger(__name__)


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
