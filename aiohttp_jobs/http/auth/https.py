"""Finds out whether a request came over HTTPS, to this process or to a proxy in front of it."""

from __future__ import annotations

from aiohttp import web


def arrived_over_https(request: web.BaseRequest) -> bool:
    """Whether the connection is encrypted, or a header says that a proxy's connection is.

    Anybody can send such a header: use this for advice, not for security decisions.
    """
    forwarded = request.headers.get("X-Forwarded-Proto", "").lower().split(",")
    return (
        request.secure
        or "https" in (each.strip() for each in forwarded)
        or any(each.get("proto", "").lower() == "https" for each in request.forwarded)
    )
