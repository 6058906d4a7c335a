"""``/api/v1/sessions``: lists and ends sessions."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, TypeAdapter

from ..engine.base import SessionRecords
from ..errors import ForbiddenError, NotFoundError
from ..model.job import Text
from ..services.sessions import SessionService, SessionsToEnd
from .answers import DONE, NamedModel, answering, listing
from .app_keys import CONFIG
from .auth.middleware import needs
from .auth.sessions import SESSIONS
from .bodies import read_model
from .envelope import answer, path_id
from .operations import operation
from .parameters import SCOPE, Value
from .request_keys import IDENTITY

SESSION_SERVICE = web.AppKey("aiohttp_jobs.session_service", SessionService)

_SESSIONS = "/api/v1/sessions"
_UserID = Annotated[Text, Field(min_length=1, max_length=500)]  # of which all fit into the address
_USER = Value[str](
    name="user",
    adapter=TypeAdapter(_UserID),
    description="Only this user's. Other users' need the right to see all.",
)

routes = web.RouteTableDef()


@routes.get(_SESSIONS)
@operation(
    "List sessions",
    {200: listing("Sessions", sessions=NamedModel("SessionView"))},
    parameters=(SCOPE, _USER),
    errors=(ForbiddenError,),
)
@needs("manage_sessions", everyone="manage_all_sessions")
async def list_sessions(request: web.Request) -> web.Response:
    """The caller's open sessions. Administrators get others' with ``scope=all`` or ``user``."""
    identity, everyone = request[IDENTITY], SCOPE.of(request) == "all"
    service, user_id = request.app[SESSION_SERVICE], _USER.of(request)
    sessions = await service.list(identity, _registry(request), everyone=everyone, user_id=user_id)
    return answer({"success": True, "count": len(sessions), "sessions": sessions})


@routes.post(_SESSIONS + "/revoke")
@operation(
    "End all sessions of a user",
    {200: answering("SessionsRevoked", revoked=int)},
    body=SessionsToEnd,
    errors=(ForbiddenError,),
    example={"keepCurrent": True},
)
@needs("manage_sessions")
async def revoke_sessions(request: web.Request) -> web.Response:
    """End all sessions of the caller or, for administrators, of ``userId``; with ``keepCurrent`` all but this
    one.
    """
    body = await read_model(request, SessionsToEnd, request.app[CONFIG].max_body_bytes)
    service = request.app[SESSION_SERVICE]
    count = await service.revoke_all(request[IDENTITY], _registry(request), body)
    return answer({"success": True, "revoked": count})


@routes.delete(_SESSIONS + "/{session_id:(?!revoke$)[^/]+}")
@operation("End a session", {200: DONE}, errors=(ForbiddenError, NotFoundError))
@needs("manage_sessions")
async def revoke_session(request: web.Request) -> web.Response:
    """End one session and its open streams. Administrators may end anybody's."""
    session_id = path_id(request, "session")
    await request.app[SESSION_SERVICE].revoke(request[IDENTITY], _registry(request), session_id)
    return answer({"success": True, "message": "Session signed out successfully"})


def _registry(request: web.Request) -> SessionRecords:
    return request.app[SESSIONS].registry(request)
