"""Declares which right a route needs, next to its handler, to be checked before anything else in the request.

Checks that need data, such as whose job it is, are made by the services.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from ...access.policy import AccessPolicy
from ...errors import ForbiddenError
from ...model.identity import Identity, Proof

_RIGHT = "_aiohttp_jobs_right"

H = TypeVar("H", bound=Handler)
Explain = Callable[[web.Request, Identity], Awaitable[None]]


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
