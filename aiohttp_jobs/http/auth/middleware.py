"""The middleware that authenticates each request, and refuses those that prove no identity or lack the right
that their route declares, next to its handler.

Checks that need data, such as whose job it is, are made by the services.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ...access.current_roles import CurrentRoles
from ...access.policy import AccessPolicy
from ...config import JobsConfig
from ...engine.base import ApiKeyRecords
from ...errors import AuthenticationError, ForbiddenError, RightsUnavailableError
from ...model.api_key import ended_with_user
from ...model.functions import HostCode
from ...model.identity import Identity, Proof
from ...model.trace import TRACEPARENT, TRACESTATE, TraceContext
from ..operations import read_parameters
from ..request_keys import IDENTITY, request_key
from .origin import require_no_form, require_same_origin
from .sessions import Sessions
from .wrong_keys import WrongKeys

Finder = Callable[[web.Request, bool], Awaitable[Identity | None]]
_PUBLIC = "_aiohttp_jobs_public"
_TOKEN = "_aiohttp_jobs_token"  # noqa: S105 - a name

_RIGHT = "_aiohttp_jobs_right"

H = TypeVar("H", bound=Handler)
Explain = Callable[[web.Request, Identity], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Judging:
    """How to find out again who sent a request, and how often that is to be done (seconds)."""

    find: Finder
    heartbeat: float


_JUDGING = request_key("aiohttp_jobs.judging", _Judging)


def public(handler: H) -> H:
    """Mark a handler that anybody may call, signed in or not. It must not ask for an identity."""
    setattr(handler, _PUBLIC, True)
    return handler


def is_public(handler: Handler) -> bool:
    """Whether a handler is marked with `public`."""
    return bool(getattr(handler, _PUBLIC, False))


def takes_token(setting: str) -> Callable[[H], H]:
    """Mark a handler that may also be called with the configured token `setting` as the bearer token.

    It must not ask for an identity then.
    """

    def mark(handler: H) -> H:
        setattr(handler, _TOKEN, setting)
        return handler

    return mark


def identity_middleware(
    config: JobsConfig,
    api_keys: ApiKeyRecords,
    wrong_keys: WrongKeys,
    roles: CurrentRoles,
    sessions: Sessions,
) -> Middleware:
    """Authenticate every request, whose `IDENTITY` its handler finds; require the right that its route
    declares; and only then read the parameters that it takes.
    """

    async def find(request: web.Request, again: bool = False) -> Identity | None:
        if (secret := _bearer_of(request)) is not None:
            return await _key_identity(api_keys, roles, secret, request.remote)
        if config.identity_resolver is not None:
            identity = _of_request(await config.identity_resolver(request))
        else:
            identity = await sessions.identity(request, again=again)
        if identity is None:
            return None
        if identity.proof is not Proof.API_KEY:
            require_same_origin(request, config.trusted_origins, config.trusted_proxies)
            require_no_form(request)
        return await roles.apply_to(identity)

    judging = _Judging(find, config.heartbeat_interval)
    policy = AccessPolicy(config)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        called = request.match_info.handler
        if not is_public(called) and not _has_token(request, called, config):
            identity = await find(request)
            if identity is None:
                await _note_wrong_key(request, api_keys, wrong_keys)
                raise AuthenticationError
            request[IDENTITY] = _with_trace(identity, request)
            request[_JUDGING] = judging
            await require_right(request, called, identity, policy)
        read_parameters(request, called)
        return await handler(request)

    return middleware


def heartbeat_of(request: web.Request) -> float:
    """The number of seconds within which a stream ends after its caller has lost their rights."""
    return request[_JUDGING].heartbeat


async def identity_now(request: web.Request) -> Identity | None:
    """Authenticate the request again, now; ``None`` if nothing proves an identity any more.

    Also ``None`` if that cannot be found out at the moment.
    """
    try:
        return await identity_again(request)
    except (AuthenticationError, RightsUnavailableError):
        return None


def _of_request(identity: Identity | None) -> Identity | None:
    """What a host's resolver found. Raises `AuthenticationError` for what no request can have."""
    if isinstance(identity, HostCode):
        raise AuthenticationError("No request comes from the host's own code.")
    return identity


async def identity_again(request: web.Request) -> Identity | None:
    """Authenticate the request again, now. Raises `AuthenticationError` and `RightsUnavailableError`."""
    return await request[_JUDGING].find(request, True)


def _bearer_of(request: web.Request) -> str | None:
    """The API key that the request was sent with, if any."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _with_trace(identity: Identity, request: web.Request) -> Identity:
    """The same, with what the request's headers say of the trace that it belongs to."""
    if TRACEPARENT not in request.headers:
        return identity
    headers = request.headers
    trace = TraceContext.of(headers.getall(TRACEPARENT), headers.getall(TRACESTATE, ()))
    return replace(identity, trace=trace)


async def _note_wrong_key(request: web.Request, api_keys: ApiKeyRecords, wrong_keys: WrongKeys) -> None:
    """Raise `TooManyAttemptsError` when a key does not hold, and too many such were tried."""
    if (secret := _bearer_of(request)) is not None:
        wrong_keys.note(request.remote, (await api_keys.now()).id_meant_by(secret))


def _has_token(request: web.Request, called: Handler, config: JobsConfig) -> bool:
    """Whether the request's bearer is the token that its handler takes."""
    setting: str | None = getattr(called, _TOKEN, None)
    token: str | None = getattr(config, setting) if setting else None
    if token is None or (given := _bearer_of(request)) is None:
        return False
    # Digests, as even the time that texts of different lengths take would tell something.
    return hmac.compare_digest(_digest(given), _digest(token))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


async def _key_identity(
    api_keys: ApiKeyRecords, current: CurrentRoles, secret: str, remote: str | None
) -> Identity | None:
    key = (await api_keys.now()).find(secret, remote)
    if key is None:
        return None
    roles = await current.of_key(key)
    if roles is None:
        raise AuthenticationError(ended_with_user("This API key", key))
    return Identity(
        user_id=key.user_id,
        session_id=f"key-{key.key_id}",
        roles=roles,
        proof=Proof.API_KEY,
        key_id=key.key_id,
    )


@dataclass(frozen=True, slots=True)
class Right:
    """What the caller of a route must be allowed to do; declared by `needs`."""

    endpoints: tuple[str, ...]
    everyone: str | None
    person: bool
    explain: Explain | None


def needs(
    *endpoints: str, everyone: str | None = None, person: bool = False, explain: Explain | None = None
) -> Callable[[H], H]:
    """Declare the rights that a handler needs; without any, the caller only has to be signed in.

    `endpoints` and `everyone` are rights of `AccessPolicy`. `everyone` is needed in addition for requests
    about other users' data (``scope=all``, or ``user`` with another user's id). With `person`, callers with
    an API key are refused. `explain` is awaited when one of `endpoints` is missing, and may raise a
    `ForbiddenError` that is more specific; it must not wait for the caller.
    """
    right = Right(endpoints, everyone, person, explain)

    def declare(handler: H) -> H:
        setattr(handler, _RIGHT, right)
        return handler

    return declare


def right_of(handler: Handler) -> Right | None:
    """The right that a handler declares; ``None`` if it declares none."""
    found: Right | None = getattr(handler, _RIGHT, None)
    return found


async def require_right(
    request: web.Request, called: Handler, identity: Identity, policy: AccessPolicy
) -> None:
    """Raise `ForbiddenError` unless `identity` has the right that the handler `called` declares."""
    right = right_of(called)
    if right is None:
        return
    try:
        policy.require(identity.roles, *right.endpoints)
    except ForbiddenError:
        if right.explain is not None:
            await right.explain(request, identity)
        raise
    if right.person and identity.proof is Proof.API_KEY:
        raise ForbiddenError("An API key cannot manage API keys. Sign in to do that.")
    if right.everyone is not None and _asks_for_others(request, identity):
        policy.require(identity.roles, right.everyone)


def _asks_for_others(request: web.Request, identity: Identity) -> bool:
    # What is empty or given twice asks for nothing: the handler says what is wrong with it.
    scopes, users = request.query.getall("scope", []), request.query.getall("user", [])
    return scopes == ["all"] or users not in ([], [""], [identity.user_id])
