"""The same-origin check of state changes that are proven by a cookie (against CSRF)."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

from ..errors import CrossOriginError

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def require_same_origin(request: web.Request, trusted: Collection[str]) -> None:
    """Raise `CrossOriginError` for a state change that a page of another origin asked for.

    Browsers tell in ``Sec-Fetch-Site`` (Fetch Metadata) or ``Origin`` (RFC 6454); a program that
    sends neither is not a browser and cannot have been tricked by a page.
    """
    if request.method in _SAFE_METHODS:
        return
    origin = request.headers.get("Origin")
    if origin is not None and origin in trusted:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        raise CrossOriginError
    if origin is not None and not _is_same_host(origin, request.host):
        raise CrossOriginError


def _is_same_host(origin: str, host: str) -> bool:
    """Compares host and port only: behind a TLS proxy the host does not know its own scheme."""
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
    except ValueError:
        return False
