"""``/api/v1/queue`` and ``/api/v1/runspaces``: what waits, pausing, and the warm workers."""

from __future__ import annotations

from aiohttp import web

from ..auth.middleware import identity_of
from .envelope import answer
from .keys import SERVICE

routes = web.RouteTableDef()


@routes.get("/api/v1/queue")
async def show_queue(request: web.Request) -> web.Response:
    return answer({"success": True, "queue": request.app[SERVICE].queue_view(identity_of(request))})


@routes.post("/api/v1/queue/pause")
async def pause_queue(request: web.Request) -> web.Response:
    await request.app[SERVICE].set_paused(identity_of(request), True)
    return answer({"success": True, "paused": True})


@routes.post("/api/v1/queue/resume")
async def resume_queue(request: web.Request) -> web.Response:
    await request.app[SERVICE].set_paused(identity_of(request), False)
    return answer({"success": True, "paused": False})


@routes.get("/api/v1/runspaces")
async def list_runspaces(request: web.Request) -> web.Response:
    workers = await request.app[SERVICE].runspaces(identity_of(request))
    return answer({"success": True, "count": len(workers), "runspaces": workers})
