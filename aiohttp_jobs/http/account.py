"""``/api/v1/me`` and ``/api/v1/api-keys``: who is calling, what they may do, and their keys."""

from __future__ import annotations

from aiohttp import web

from ..errors import ForbiddenError, NotFoundError, TooManyKeptError
from ..services.account import AccountService, ApiKeyChange, ApiKeyRequest
from .app_keys import CONFIG
from .auth.middleware import identity_of
from .auth.rights import needs
from .auth.sessions import has_own_cookie
from .bodies import read_model
from .envelope import answer, path_id
from .functions import FUNCTIONS
from .openapi.answers import Done, answering, listing
from .openapi.operations import operation
from .openapi.parameters import SCOPE
from .openapi.records import ApiKeyView, Me

ACCOUNT = web.AppKey("aiohttp_jobs.account", AccountService)

_KEYS = "/api/v1/api-keys"
_KEY = "/api/v1/api-keys/{key_id}"
_ONE_OF_THEM = (ForbiddenError, NotFoundError)

routes = web.RouteTableDef()


@routes.get("/api/v1/me")
@operation("Show who is calling", {200: answering("OneSelf", me=Me)})
@needs()
async def show_me(request: web.Request) -> web.Response:
    """Who the caller is, the modes, interpreters, priorities and endpoints that are theirs, and how the
    server sees their request."""
    seen = {"scheme": request.scheme, "host": request.host, "remote": request.remote}
    config = request.app[CONFIG]
    is_own = config.identity_resolver is None and has_own_cookie(request)
    cookie = {"name": config.session_cookie, "secure": config.session_secure} if is_own else None
    me = request.app[ACCOUNT].describe(identity_of(request))
    me["functions"] = request.app[FUNCTIONS].has_any(identity_of(request))
    return answer({"success": True, "me": {**me, "connection": seen, "sessionCookie": cookie}})


@routes.get(_KEYS)
@operation(
    "List API keys",
    {200: listing("ApiKeys", apiKeys=ApiKeyView)},
    parameters=(SCOPE,),
    errors=(ForbiddenError,),
)
@needs("manage_api_keys", everyone="manage_all_api_keys")
async def list_api_keys(request: web.Request) -> web.Response:
    """The caller's keys, without their secrets; ``scope=all`` for administrators."""
    everyone = SCOPE.of(request) == "all"
    keys = await request.app[ACCOUNT].list_keys(identity_of(request), everyone=everyone)
    return answer({"success": True, "count": len(keys), "apiKeys": keys})


@routes.post(_KEYS)
@operation(
    "Make an API key",
    {201: answering("ApiKeyMade", apiKey=ApiKeyView, secret=str)},
    body=ApiKeyRequest,
    errors=(ForbiddenError, TooManyKeptError),
    makes={"keyId": "/apiKey/KeyID"},
)
@needs("manage_api_keys", person=True)
async def create_api_key(request: web.Request) -> web.Response:
    """The answer holds the key itself, ``secret``, which is never shown again."""
    body = await read_model(request, ApiKeyRequest, request.app[CONFIG].max_body_bytes)
    key, secret = await request.app[ACCOUNT].create_key(identity_of(request), body)
    return answer({"success": True, "apiKey": key, "secret": secret}, status=201)


@routes.patch(_KEY)
@operation(
    "Disable or enable an API key",
    {200: answering("OneApiKey", apiKey=ApiKeyView)},
    body=ApiKeyChange,
    errors=_ONE_OF_THEM,
)
@needs("manage_api_keys", person=True)
async def change_api_key(request: web.Request) -> web.Response:
    """Disable a key, or enable it again: whoever disabled it, or an administrator."""
    key_id, identity = path_id(request, "key"), identity_of(request)
    await request.app[ACCOUNT].require_changeable(identity, key_id)
    change = await read_model(request, ApiKeyChange, request.app[CONFIG].max_body_bytes)
    key = await request.app[ACCOUNT].set_key_enabled(identity, key_id, change.enabled)
    return answer({"success": True, "apiKey": key})


@routes.delete(_KEY)
@operation("Delete an API key", {200: Done}, errors=_ONE_OF_THEM)
@needs("manage_api_keys", person=True)
async def delete_api_key(request: web.Request) -> web.Response:
    await request.app[ACCOUNT].delete_key(identity_of(request), path_id(request, "key"))
    return answer({"success": True, "message": "API key deleted successfully"})
