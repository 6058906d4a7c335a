"""``/metrics``: the metrics for Prometheus, for administrators and for the bearer of the configured token."""

from __future__ import annotations

from typing import Protocol

from aiohttp import hdrs, web

from ..errors import NotFoundError
from .auth.middleware import needs, takes_token
from .operations import unlisted


class Exposition(Protocol):
    """Produces the metrics, if they are enabled; see ``monitoring.metrics``."""

    async def exposition(self, accept: str) -> tuple[bytes, str]: ...


METRICS: web.AppKey[Exposition] = web.AppKey("aiohttp_jobs.metrics", Exposition)

routes = web.RouteTableDef()


@routes.get("/metrics")
@unlisted
@takes_token("metrics_token")
@needs("see_metrics")
async def show_metrics(request: web.Request) -> web.Response:
    """The metrics, as Prometheus text or OpenMetrics, whichever the client accepts."""
    metrics = request.app.get(METRICS)
    if metrics is None:
        raise NotFoundError("This server counts nothing: metrics_enabled is off.")
    body, content_type = await metrics.exposition(request.headers.get(hdrs.ACCEPT, ""))
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=body, headers=headers)
