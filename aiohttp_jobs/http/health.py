"""``/healthz`` and ``/readyz``, which anybody may call, and ``/api/v1/health``, which also gives reasons.

The first two do not authenticate, so that a failing user table or disk cannot delay them.
"""

from __future__ import annotations

from aiohttp import web

from ..errors import ForbiddenError
from ..monitoring.readiness import Readiness
from .answers import NamedModel, answering
from .auth.middleware import needs, public
from .envelope import answer
from .operations import operation, unlisted

READINESS = web.AppKey("aiohttp_jobs.readiness", Readiness)

routes = web.RouteTableDef()


@routes.get("/healthz")
@public
@unlisted
async def is_alive(_request: web.Request) -> web.Response:
    """The event loop runs; nothing else is checked."""
    return answer({"success": True})


@routes.get("/readyz")
@public
@unlisted
async def is_ready(request: web.Request) -> web.Response:
    """503 when no jobs can be accepted, with the names of the failing checks and nothing else."""
    faults = [each.name for each in await request.app[READINESS].findings() if not each.is_good]
    if not faults:
        return answer({"success": True})
    body = {
        "success": False,
        "error": "This server takes no jobs now.",
        "code": "not_ready",
        "faults": faults,
    }
    return answer(body, status=503)


@routes.get("/api/v1/health")
@operation(
    "Get the host's health",
    {200: answering("Health", ready=bool, findings=NamedModel("HealthFinding", is_list=True))},
    errors=(ForbiddenError,),
)
@needs("see_health")
async def show_health(request: web.Request) -> web.Response:
    """The checks of ``GET <prefix>/readyz``, which anybody may call, and the reason for each that fails."""
    findings = await request.app[READINESS].findings()
    shown = [{"Name": each.name, "Good": each.is_good, "Message": each.message} for each in findings]
    return answer({"success": True, "ready": all(each.is_good for each in findings), "findings": shown})
