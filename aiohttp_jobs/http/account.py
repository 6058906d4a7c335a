"""``/api/v1/me`` and ``/api/v1/api-keys``: the caller's identity, rights and keys."""

from __future__ import annotations

from aiohttp import web

from ..errors import ForbiddenError, NotFoundError, TooManyKeptError
from ..services.account import AccountService, ApiKeyChange, ApiKeyRequest
from .answers import DONE, NamedModel, answering, listing
from .app_keys import CONFIG
from .auth.middleware import needs
from .auth.sessions import has_own_cookie
from .bodies import read_model
from .envelope import answer, path_id
from .functions import FUNCTIONS
from .operations import operation
from .parameters import SCOPE
from .request_keys import IDENTITY

ACCOUNT = web.AppKey("aiohttp_jobs.account", AccountService)

_KEYS = "/api/v1/api-keys"
_KEY = "/api/v1/api-keys/{key_id}"
_ONE_OF_THEM = (ForbiddenError, NotFoundError)

routes = web.RouteTableDef()


@routes.get("/api/v1/me")
@operation("Get the caller's identity and rights", {200: answering("OneSelf", me=NamedModel("Me"))})
@needs()
async def show_me(request: web.Request) -> web.Response:
    """The caller's identity, and the modes, interpreters, priorities and endpoints they may use.

    ``connection`` shows their request as the server sees it, for setting up proxies.
    """
    seen = {"scheme": request.scheme, "host": request.host, "remote": request.remote}
    config = request.app[CONFIG]
    is_own = config.identity_resolver is None and has_own_cookie(request)
    cookie = {"name": config.session_cookie, "secure": config.session_secure} if is_own else None
    me = request.app[ACCOUNT].describe(request[IDENTITY])
    me["functions"] = request.app[FUNCTIONS].has_any(request[IDENTITY])
    return answer({"success": True, "me": {**me, "connection": seen, "sessionCookie": cookie}})


@routes.get(_KEYS)
@operation(
    "List API keys",
    {200: listing("ApiKeys", apiKeys=NamedModel("ApiKeyView"))},
    parameters=(SCOPE,),
    errors=(ForbiddenError,),
)
@needs("manage_api_keys", everyone="manage_all_api_keys")
async def list_api_keys(request: web.Request) -> web.Response:
    """The caller's keys, without their secrets. Administrators get all keys with ``scope=all``."""
    everyone = SCOPE.of(request) == "all"
    keys = await request.app[ACCOUNT].list_keys(request[IDENTITY], everyone=everyone)
    return answer({"success": True, "count": len(keys), "apiKeys": keys})


@routes.post(_KEYS)
@operation(
    "Create an API key",
    {201: answering("ApiKeyMade", apiKey=NamedModel("ApiKeyView"), secret=str)},
    body=ApiKeyRequest,
    errors=(ForbiddenError, TooManyKeptError),
    makes={"keyId": "/apiKey/KeyID"},
    example={"name": "ci", "roles": ["task_manager"], "allowedIPs": ["192.0.2.0/24"]},
)
@needs("manage_api_keys", person=True)
async def create_api_key(request: web.Request) -> web.Response:
    """Create a key. The response contains its secret, ``secret``, which cannot be shown again."""
    body = await read_model(request, ApiKeyRequest, request.app[CONFIG].max_body_bytes)
    key, secret = await request.app[ACCOUNT].create_key(request[IDENTITY], body)
    return answer({"success": True, "apiKey": key, "secret": secret}, status=201)


@routes.patch(_KEY)
@operation(
    "Disable or enable an API key",
    {200: answering("OneApiKey", apiKey=NamedModel("ApiKeyView"))},
    body=ApiKeyChange,
    errors=_ONE_OF_THEM,
    example={"enabled": False},
)
@needs("manage_api_keys", person=True)
async def change_api_key(request: web.Request) -> web.Response:
    """Disable a key or enable it again. Only whoever disabled it, or an administrator, may enable it."""
    key_id, identity = path_id(request, "key"), request[IDENTITY]
    await request.app[ACCOUNT].require_changeable(identity, key_id)
    change = await read_model(request, ApiKeyChange, request.app[CONFIG].max_body_bytes)
    key = await request.app[ACCOUNT].set_key_enabled(identity, key_id, change.enabled)
    return answer({"success": True, "apiKey": key})


@routes.delete(_KEY)
@operation("Delete an API key", {200: DONE}, errors=_ONE_OF_THEM)
@needs("manage_api_keys", person=True)
async def delete_api_key(request: web.Request) -> web.Response:
    """Delete a key for good. Requests with it are refused from now on."""
    await request.app[ACCOUNT].delete_key(request[IDENTITY], path_id(request, "key"))
    return answer({"success": True, "message": "API key deleted successfully"})
