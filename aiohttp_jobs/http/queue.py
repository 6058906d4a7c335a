"""``/api/v1/queue``, ``/runspaces`` and ``/mainloop``: waiting jobs, pausing, and the warm workers."""

from __future__ import annotations

from typing import Literal

from aiohttp import web

from ..errors import ConflictError, ForbiddenError
from ..services.queue import QueueService
from .answers import NamedModel, answering, listing
from .auth.middleware import needs
from .envelope import answer
from .operations import operation
from .request_keys import IDENTITY

QUEUE = web.AppKey("aiohttp_jobs.queue", QueueService)

_FORBIDDEN = (ForbiddenError,)

routes = web.RouteTableDef()


@routes.get("/api/v1/queue")
@operation("Get the queue", {200: answering("Queue", queue=NamedModel("QueueView"))}, errors=_FORBIDDEN)
@needs("see_queue")
async def show_queue(request: web.Request) -> web.Response:
    """The waiting jobs in order, the numbers of running jobs, and the limits."""
    return answer({"success": True, "queue": await request.app[QUEUE].view(request[IDENTITY])})


@routes.post("/api/v1/queue/pause")
@operation("Pause the queue", {200: answering("QueuePaused", paused=Literal[True])}, errors=_FORBIDDEN)
@needs("manage_queue")
async def pause_queue(request: web.Request) -> web.Response:
    """Start no more jobs, in any process. Running jobs go on, and submitting stays possible."""
    await request.app[QUEUE].set_paused(request[IDENTITY], True)
    return answer({"success": True, "paused": True})


@routes.post("/api/v1/queue/resume")
@operation("Resume the queue", {200: answering("QueueResumed", paused=Literal[False])}, errors=_FORBIDDEN)
@needs("manage_queue")
async def resume_queue(request: web.Request) -> web.Response:
    """Start jobs again."""
    await request.app[QUEUE].set_paused(request[IDENTITY], False)
    return answer({"success": True, "paused": False})


@routes.post("/api/v1/queue/pick-up")
@operation(
    "Pick up dropped files now",
    {202: answering("PickUpRequested", requested=Literal[True])},
    errors=_FORBIDDEN,
)
@needs("pick_up_submissions")
async def pick_up(request: web.Request) -> web.Response:
    """Look for files that other programs have put into ``JobSubmission`` now, not at the next poll."""
    request.app[QUEUE].pick_up(request[IDENTITY])
    return answer({"success": True, "requested": True}, status=202)


@routes.get("/api/v1/runspaces")
@operation(
    "List the warm workers",
    {200: listing("Runspaces", runspaces=NamedModel("RunspaceView"))},
    errors=_FORBIDDEN,
)
@needs("see_runspaces")
async def list_runspaces(request: web.Request) -> web.Response:
    """The warm processes for Runspace jobs, in the process that answers."""
    workers = await request.app[QUEUE].runspaces(request[IDENTITY])
    return answer({"success": True, "count": len(workers), "runspaces": workers})


@routes.post("/api/v1/mainloop/restart")
@operation(
    "Restart PowerShell's MainLoop session",
    {200: answering("MainLoopRestarted", restarted=Literal[True])},
    errors=(ForbiddenError, ConflictError),
)
@needs("restart_mainloop")
async def restart_main_loop(request: web.Request) -> web.Response:
    """The next MainLoop job in PowerShell starts a new session, without the variables and modules of this
    one.
    """
    await request.app[QUEUE].restart_main_loop(request[IDENTITY])
    return answer({"success": True, "restarted": True})
