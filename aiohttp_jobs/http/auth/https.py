"""Whether a request came over HTTPS, as this process or a proxy before it says."""

from __future__ import annotations

from aiohttp import web


def arrived_over_https(request: web.BaseRequest) -> bool:
    """Whether this host's own connection is encrypted, or a header says that a proxy's is.

    Anybody may send such a header: good enough for advice, not for deciding who is trusted.
    """
    forwarded = request.headers.get("X-Forwarded-Proto", "").lower().split(",")
    return (
        request.secure
        or "https" in (each.strip() for each in forwarded)
        or any(each.get("proto", "").lower() == "https" for each in request.forwarded)
    )
