"""``/api/v1/notices``: lists, retries and deletes notices."""

from __future__ import annotations

from aiohttp import web

from ..errors import ConflictError, ForbiddenError, NotFoundError
from ..model.notice import SHOWN_STATES
from ..services.notices import NoticeService
from .answers import DONE, NamedModel, answering, listing
from .auth.middleware import needs
from .envelope import answer, path_id
from .operations import operation
from .parameters import SCOPE, Choices, Count, OptionalIdentifier
from .request_keys import IDENTITY

NOTICES = web.AppKey("aiohttp_jobs.notices", NoticeService)

_ALL = "/api/v1/notices"
_ONE = "/api/v1/notices/{notice_id}"
_STATE = Choices(name="state", choices=SHOWN_STATES, description="Only in these states; all by default.")
_JOB_ID = OptionalIdentifier(name="jobId", kind="job id", description="Only notices about this job.")
_LIMIT = Count(name="limit", default=100, most=1000, description="The maximum number of notices.")
_ONE_OF_THEM = (ForbiddenError, NotFoundError)

routes = web.RouteTableDef()


@routes.get(_ALL)
@operation(
    "List notices",
    {200: listing("Notices", notices=NamedModel("NoticeView"))},
    parameters=(_STATE, _JOB_ID, SCOPE, _LIMIT),
    errors=(ForbiddenError,),
)
@needs("list_notices", everyone="see_all_jobs")
async def list_notices(request: web.Request) -> web.Response:
    """The caller's notices, newest first; those of all users with ``scope=all``."""
    notices = await request.app[NOTICES].list_notices(
        request[IDENTITY],
        _STATE.of(request) or SHOWN_STATES,
        job_id=_JOB_ID.of(request),
        everyone=SCOPE.of(request) == "all",
        limit=_LIMIT.of(request),
    )
    return answer({"success": True, "count": len(notices), "notices": notices})


@routes.post(_ONE + "/retry")
@operation(
    "Retry a notice",
    {202: answering("OneNotice", notice=NamedModel("NoticeView"))},
    errors=(*_ONE_OF_THEM, ConflictError),
)
@needs("manage_notices")
async def retry_notice(request: web.Request) -> web.Response:
    """Send a failed notice again, with as many attempts as a new one."""
    notice = await request.app[NOTICES].retry(request[IDENTITY], path_id(request, "notice"))
    return answer({"success": True, "notice": notice}, status=202)


@routes.delete(_ONE)
@operation("Delete a notice", {200: DONE}, errors=_ONE_OF_THEM)
@needs("manage_notices")
async def delete_notice(request: web.Request) -> web.Response:
    """Delete a notice. If it was not sent yet, it never will be."""
    await request.app[NOTICES].delete(request[IDENTITY], path_id(request, "notice"))
    return answer({"success": True, "message": "Notice deleted successfully"})
