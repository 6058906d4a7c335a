"""Sign-in kept in an aiohttp-session session: the host's own, or an encrypted cookie of the plugin's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any

import aiohttp_session
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from cryptography.fernet import Fernet

from ..config import JobsConfig
from ..errors import ConfigurationError
from ..store.durable import create_secret
from .identity import Identity, Proof

_FIELD = "aiohttp_jobs"


class _OwnStorage(EncryptedCookieStorage):
    """Saves only sessions that it loaded: a host may install its own storage after this one."""

    async def save_session(
        self,
        request: web.Request,
        response: web.StreamResponse,
        session: aiohttp_session.Session,
    ) -> None:
        if request.get(aiohttp_session.STORAGE_KEY) is self:
            await super().save_session(request, response, session)


def own_session_middleware(config: JobsConfig) -> Middleware:
    """Keeps sessions in an encrypted cookie wherever the host has not set up aiohttp-session."""
    storage = _OwnStorage(
        _session_key(config),
        cookie_name=config.session_cookie,
        max_age=int(config.session_max_age),
        secure=config.session_secure,
        httponly=True,
        samesite="Lax",
    )
    keep_session = aiohttp_session.session_middleware(storage)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if aiohttp_session.STORAGE_KEY in request:
            return await handler(request)
        return await keep_session(request, handler)

    return middleware


def _session_key(config: JobsConfig) -> Fernet:
    key = config.session_key or _key_from_file(config.base_dir / "Secrets" / "session.key")
    try:
        return Fernet(key)
    except ValueError:
        raise ConfigurationError(
            "The session key must be 32 bytes in base64url, as Fernet.generate_key() makes them."
        ) from None


def _key_from_file(path: Path) -> str:
    return create_secret(path, Fernet.generate_key()).decode("ascii", "replace").strip()


async def remember(request: web.Request, user_id: str, roles: Collection[str]) -> None:
    """Sign `user_id` in with `roles`: later requests of this session are theirs.

    Call it in the host's own login handler, once the user has proven who they are. The session gets
    a new id, so that one planted before signing in is worth nothing.
    """
    if not user_id or "\0" in user_id:
        raise ValueError("user_id must be a non-empty text without NUL characters")
    old = dict(await aiohttp_session.get_session(request))
    session = await aiohttp_session.new_session(request)
    session.update(old)
    session[_FIELD] = {
        "user_id": user_id,
        "roles": sorted(set(roles)),
        "session_id": str(uuid.uuid4()),
        "signed_in_at": int(time.time()),
    }


async def forget(request: web.Request) -> None:
    """Sign out: the session no longer belongs to anybody."""
    session = await aiohttp_session.get_session(request)
    session.pop(_FIELD, None)
    session.changed()


async def session_identity(request: web.Request) -> Identity | None:
    """Whoever `remember` signed in, ``None`` when nobody is."""
    if aiohttp_session.STORAGE_KEY not in request:
        return None
    data: Any = (await aiohttp_session.get_session(request)).get(_FIELD)
    if not isinstance(data, dict):
        return None
    return Identity(
        user_id=data["user_id"],
        session_id=data["session_id"],
        roles=frozenset(data["roles"]),
        proof=Proof.SESSION,
    )
