"""``/api/v1/workers``: the hosts and workers that share the work, on all machines, and draining a worker."""

from __future__ import annotations

from typing import Literal

from aiohttp import web

from ..errors import ConflictError, ForbiddenError, NotFoundError
from ..services.workers import WorkerService
from .answers import NamedModel, answering, listing
from .auth.middleware import needs
from .envelope import answer, path_id
from .operations import operation
from .request_keys import IDENTITY

WORKERS = web.AppKey("aiohttp_jobs.workers", WorkerService)

routes = web.RouteTableDef()


@routes.get("/api/v1/workers")
@operation(
    "List hosts and workers",
    {200: listing("Workers", workers=NamedModel("WorkerView"))},
    errors=(ForbiddenError,),
)
@needs("manage_queue")
async def list_workers(request: web.Request) -> web.Response:
    """The hosts and workers that share the work.

    Empty where hosts run all jobs (see ``capabilities`` of ``GET /me``).
    """
    workers = await request.app[WORKERS].view(request[IDENTITY])
    return answer({"success": True, "count": len(workers), "workers": workers})


@routes.post("/api/v1/workers/{worker_id}/drain")
@operation(
    "Drain a worker",
    {202: answering("WorkerDraining", workerId=str, draining=Literal[True])},
    errors=(ForbiddenError, NotFoundError, ConflictError),
)
@needs("manage_queue")
async def drain_worker(request: web.Request) -> web.Response:
    """Let a worker take no more jobs, finish its running ones, and exit. Can be repeated."""
    worker_id = path_id(request, "worker")
    await request.app[WORKERS].drain(request[IDENTITY], worker_id)
    return answer({"success": True, "workerId": worker_id, "draining": True}, status=202)
