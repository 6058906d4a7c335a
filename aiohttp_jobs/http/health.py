"""``/healthz`` and ``/readyz``, which anybody may ask, and ``/api/v1/health``, which says why.

Neither of the first two looks for who asks, so that nothing that is broken can hold them up.
"""

from __future__ import annotations

from aiohttp import web

from ..errors import ForbiddenError
from ..monitoring.readiness import Readiness
from .auth.middleware import public
from .auth.rights import needs
from .envelope import answer
from .openapi.answers import answering
from .openapi.operations import operation, unlisted
from .openapi.records import HealthFinding

READINESS = web.AppKey("aiohttp_jobs.readiness", Readiness)

routes = web.RouteTableDef()


@routes.get("/healthz")
@public
@unlisted
async def is_alive(_request: web.Request) -> web.Response:
    """The event loop goes round: there is no more to it."""
    return answer({"success": True})


@routes.get("/readyz")
@public
@unlisted
async def is_ready(request: web.Request) -> web.Response:
    """503 when no jobs can be taken, with the names of what is in the way, which tell nothing else."""
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
    "Tell whether jobs can be taken",
    {200: answering("Health", ready=bool, findings=list[HealthFinding])},
    errors=(ForbiddenError,),
)
@needs("see_health")
async def show_health(request: web.Request) -> web.Response:
    """The same as ``GET <prefix>/readyz``, which anybody may ask, and what it does not say: why not."""
    findings = await request.app[READINESS].findings()
    shown = [{"Name": each.name, "Good": each.is_good, "Message": each.message} for each in findings]
    return answer({"success": True, "ready": all(each.is_good for each in findings), "findings": shown})
