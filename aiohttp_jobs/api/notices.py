"""``/api/v1/notices``: listing, sending again and deleting notices."""

from __future__ import annotations

from aiohttp import web

from ..auth.middleware import identity_of
from ..notify.models import SHOWN_STATES
from ..notify.service import NoticeService
from .envelope import answer, path_notice_id, query_choices, query_count, query_everyone, query_job_id

NOTICES = web.AppKey("aiohttp_jobs.notices", NoticeService)

_ALL = "/api/v1/notices"
_ONE = "/api/v1/notices/{notice_id}"

routes = web.RouteTableDef()


@routes.get(_ALL)
async def list_notices(request: web.Request) -> web.Response:
    """The caller's own notices, newest first; ``scope=all`` for those who may see everyone's jobs."""
    states = query_choices(request, "state", SHOWN_STATES) or SHOWN_STATES
    job_id = query_job_id(request, "jobId") if "jobId" in request.query else None
    everyone, limit = query_everyone(request), query_count(request, "limit", 100, 1000)
    notices = await request.app[NOTICES].list_notices(
        identity_of(request), states, job_id=job_id, everyone=everyone, limit=limit
    )
    return answer({"success": True, "count": len(notices), "notices": notices})


@routes.post(_ONE + "/retry")
async def retry_notice(request: web.Request) -> web.Response:
    notice = await request.app[NOTICES].retry(identity_of(request), path_notice_id(request))
    return answer({"success": True, "notice": notice}, status=202)


@routes.delete(_ONE)
async def delete_notice(request: web.Request) -> web.Response:
    await request.app[NOTICES].delete(identity_of(request), path_notice_id(request))
    return answer({"success": True, "message": "Notice deleted successfully"})
