"""Sign-in kept in an aiohttp-session session: the host's own, or an encrypted cookie of the plugin's."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import Collection
from typing import Any

import aiohttp_session
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..config import JobsConfig
from ..errors import ConfigurationError
from ..store.key_files import decoded_fernet_key, fernet_key
from .identity import Identity, Proof

_FIELD = "aiohttp_jobs"


class _OwnStorage(aiohttp_session.AbstractStorage):
    """An encrypted cookie, by aiohttp-session's own storage, made when there is one to read or write.

    Saves only sessions that it loaded: a host may install its own storage after this one.
    """

    def __init__(self, config: JobsConfig) -> None:
        self._settings: dict[str, Any] = {
            "cookie_name": config.session_cookie,
            "max_age": int(config.session_max_age),
            "secure": config.session_secure,
            "httponly": True,
            "samesite": "Lax",
        }
        super().__init__(**self._settings)
        self._config = config
        if config.session_key is not None:
            session_key(config)
        self._encrypted: aiohttp_session.AbstractStorage | None = None

    async def load_session(self, request: web.Request) -> aiohttp_session.Session:
        if self.load_cookie(request) is None:
            return await self.new_session()
        return await (await self._storage()).load_session(request)

    async def save_session(
        self,
        request: web.Request,
        response: web.StreamResponse,
        session: aiohttp_session.Session,
    ) -> None:
        if request.get(aiohttp_session.STORAGE_KEY) is self:
            await (await self._storage()).save_session(request, response, session)

    async def _storage(self) -> aiohttp_session.AbstractStorage:
        if self._encrypted is None:
            self._encrypted = await asyncio.to_thread(self._make)
        return self._encrypted

    def _make(self) -> aiohttp_session.AbstractStorage:
        # Costs 7 MB, which hosts with a session of their own, or with keys only, do without.
        from aiohttp_session.cookie_storage import EncryptedCookieStorage  # noqa: PLC0415 - as said above

        return EncryptedCookieStorage(session_key(self._config), **self._settings)


def own_session_middleware(config: JobsConfig) -> Middleware:
    """Keeps sessions in an encrypted cookie wherever the host has not set up aiohttp-session.

    Raises `ConfigurationError` for a `session_key` that is none.
    """
    keep_session = aiohttp_session.session_middleware(_OwnStorage(config))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if aiohttp_session.STORAGE_KEY in request:
            return await handler(request)
        return await keep_session(request, handler)

    return middleware


def session_key(config: JobsConfig) -> bytes:
    """The 32 bytes that encrypt the plugin's own cookie: the setting's, or those of the key file.

    The file is made if it is not there. Raises `ConfigurationError` when either is no such key. Blocks.
    """
    if config.session_key is None:
        return base64.urlsafe_b64decode(fernet_key(config.base_dir / "Secrets" / "session.key"))
    key = decoded_fernet_key(config.session_key)
    if key is None:
        raise ConfigurationError(
            "session_key must be 32 bytes in base64url, as cryptography's Fernet.generate_key() makes them."
        )
    return key


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
