"""``/api/v1/workers``: who shares the work, on whichever machine, and having one of them end."""

from __future__ import annotations

from typing import Literal

from aiohttp import web

from ..errors import ConflictError, ForbiddenError, NotFoundError
from ..services.workers import WorkerService
from .auth.middleware import identity_of
from .auth.rights import needs
from .envelope import answer, path_id
from .openapi.answers import answering, listing
from .openapi.operations import operation
from .openapi.records import WorkerView

WORKERS = web.AppKey("aiohttp_jobs.workers", WorkerService)

routes = web.RouteTableDef()


@routes.get("/api/v1/workers")
@operation("List hosts and workers", {200: listing("Workers", workers=WorkerView)}, errors=(ForbiddenError,))
@needs("manage_queue")
async def list_workers(request: web.Request) -> web.Response:
    """Those that share the work. None where hosts run all jobs (see ``capabilities`` of ``GET /me``)."""
    workers = await request.app[WORKERS].view(identity_of(request))
    return answer({"success": True, "count": len(workers), "workers": workers})


@routes.post("/api/v1/workers/{worker_id}/drain")
@operation(
    "Drain a worker",
    {202: answering("WorkerDraining", workerId=str, draining=Literal[True])},
    errors=(ForbiddenError, NotFoundError, ConflictError),
)
@needs("manage_queue")
async def drain_worker(request: web.Request) -> web.Response:
    """It takes no more jobs, finishes those that it runs, and ends. Asking twice is as good as once."""
    worker_id = path_id(request, "worker")
    await request.app[WORKERS].drain(identity_of(request), worker_id)
    return answer({"success": True, "workerId": worker_id, "draining": True}, status=202)
