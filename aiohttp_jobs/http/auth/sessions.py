"""Sign-in with aiohttp-session: in the host's own session storage, or in an encrypted cookie of the
plugin.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import Awaitable, Collection, Iterator, Mapping
from typing import Any

import aiohttp_session
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ...config import JobsConfig
from ...engine.base import SessionRecords
from ...errors import BusyError, ConfigurationError, JobsError
from ...model.identity import Identity, Proof
from ...system.key_files import decoded_fernet_key
from ...system.storage_faults import fault_of

_FIELD = "aiohttp_jobs"
_TEXTS = ("user_id", "session_id", "secret")
_logger = logging.getLogger(__name__)


class _OwnStorage(aiohttp_session.AbstractStorage):
    """An encrypted cookie, by aiohttp-session's own storage, made when there is one to read or write."""

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
        self._has_warned = config.session_secure

    async def load_session(self, request: web.Request) -> aiohttp_session.Session:
        if self.load_cookie(request) is None:
            return await self.new_session()
        self._warn_of_plain_http(request)
        return await (await self._storage()).load_session(request)

    async def save_session(
        self,
        request: web.Request,
        response: web.StreamResponse,
        session: aiohttp_session.Session,
    ) -> None:
        self._warn_of_plain_http(request)
        await (await self._storage()).save_session(request, response, session)

    def _warn_of_plain_http(self, request: web.Request) -> None:
        if not self._has_warned and arrived_over_https(request):
            self._has_warned = True
            _logger.warning(
                "Users sign in over HTTPS, but browsers send the cookie %s over plain HTTP too, where others "
                "on the way can read it. Set session_secure=True (AIOHTTP_JOBS_SESSION_SECURE=true).",
                self._config.session_cookie,
            )

    async def _storage(self) -> aiohttp_session.AbstractStorage:
        if self._encrypted is None:
            self._encrypted = await asyncio.to_thread(self._make)
        return self._encrypted

    def _make(self) -> aiohttp_session.AbstractStorage:
        # Costs 7 MB, which hosts with a session of their own, or with keys only, do without.
        from aiohttp_session.cookie_storage import EncryptedCookieStorage  # noqa: PLC0415 - as said above

        return EncryptedCookieStorage(session_key(self._config), **self._settings)


class _RequestStorage(aiohttp_session.AbstractStorage):
    """That of one request and of its clones, which have the same storage but not the same session.

    The cookie is that of `own`. Saves only sessions that it loaded: a host may install its own storage after
    this one.
    """

    def __init__(self, own: _OwnStorage) -> None:
        # Without the base's, which would make the cookie's settings anew for each request.
        self._own = own
        self.session: aiohttp_session.Session | None = None
        """The session of the request, or of a clone of it."""

    def is_asked_for(self, request: web.Request) -> bool:
        """Whether the request, which may have got another storage since, had a session of this one's."""
        has_session = self.session is not None or aiohttp_session.SESSION_KEY in request
        return has_session and request.get(aiohttp_session.STORAGE_KEY) is self

    @property
    def cookie_name(self) -> str:
        return self._own.cookie_name

    @property
    def max_age(self) -> int | None:
        return self._own.max_age

    @property
    def cookie_params(self) -> Any:
        return self._own.cookie_params

    def load_cookie(self, request: web.Request) -> str | None:
        return self._own.load_cookie(request)

    def save_cookie(
        self, response: web.StreamResponse, cookie_data: str, *, max_age: int | None = None
    ) -> None:
        self._own.save_cookie(response, cookie_data, max_age=max_age)

    async def load_session(self, request: web.Request) -> aiohttp_session.Session:
        session = await self._own.load_session(request)
        if self.session is None:
            self.session = session
        return session

    async def new_session(self) -> aiohttp_session.Session:
        self.session = await self._own.new_session()
        return self.session

    async def save_session(
        self,
        request: web.Request,
        response: web.StreamResponse,
        session: aiohttp_session.Session,
    ) -> None:
        if request.get(aiohttp_session.STORAGE_KEY) is self:
            await self._own.save_session(request, response, session)


def own_session_middleware(config: JobsConfig) -> Middleware:
    """Install an encrypted session cookie, unless the host has set up aiohttp-session itself.

    Raises `ConfigurationError` for an invalid `session_key`.
    """
    own = _OwnStorage(config)

    @web.middleware
    def middleware(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        return handler(request) if aiohttp_session.STORAGE_KEY in request else handle(request, handler)

    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[aiohttp_session.STORAGE_KEY] = storage = _RequestStorage(own)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            if not storage.is_asked_for(request):
                raise
            response = error
        finally:
            if storage.session is not None and request.get(aiohttp_session.STORAGE_KEY) is storage:
                request[aiohttp_session.SESSION_KEY] = storage.session
        # Nobody asks for that of a request with an API key.
        return await _saved(request, response, storage) if storage.is_asked_for(request) else response

    return middleware


async def _saved(
    request: web.Request, response: web.StreamResponse, storage: _RequestStorage
) -> web.StreamResponse:
    """The response, or the ``HTTPException`` that it is, once aiohttp-session has saved a changed session."""

    async def answered(_request: web.Request) -> web.StreamResponse:
        if isinstance(response, web.HTTPException):
            raise response
        return response

    return await aiohttp_session.session_middleware(storage)(request, answered)


def has_own_cookie(request: web.Request) -> bool:
    """Whether sessions are in the plugin's own cookie, not in the host's storage."""
    return isinstance(request.get(aiohttp_session.STORAGE_KEY), _RequestStorage)


def session_key(config: JobsConfig) -> bytes:
    """The 32 bytes that encrypt the plugin's cookie: the setting's, or the installation's own.

    Creates a key file if one is needed. Raises `ConfigurationError` for an invalid key. Blocks.
    """
    if config.session_key is None:
        return base64.urlsafe_b64decode(config.keys.get("session.key"))
    key = decoded_fernet_key(config.session_key)
    if key is None:
        raise ConfigurationError(
            "session_key must be 32 bytes in base64url, as cryptography's Fernet.generate_key() makes them."
        )
    return key


class Sessions:
    """Finds the user whom `remember` has signed in to a request's session.

    If a host has several plugins, all use the registry of the first one, so that a session ends for all of
    them.
    """

    def __init__(self, registry: SessionRecords) -> None:
        self._own = registry
        self._shared: SessionRecords | None = None

    def registry(self, request: web.Request) -> SessionRecords:
        """The registry of the host that received `request`."""
        if self._shared is None:
            self._shared = _registry_in(request.match_info.apps[0]) or self._own
        return self._shared

    @property
    def own(self) -> SessionRecords:
        """This plugin's own registry, even if the host uses another plugin's."""
        return self._own

    async def identity(self, request: web.Request, *, again: bool = False) -> Identity | None:
        """The signed-in user; ``None`` when nobody is, or their session has ended.

        With `again`, the session is loaded anew, in case its storage has dropped it since.
        """
        if aiohttp_session.STORAGE_KEY not in request:
            return None
        if again:
            session = await request[aiohttp_session.STORAGE_KEY].load_session(request)
        else:
            session = await aiohttp_session.get_session(request)
        signed_in = _signed_in(session)
        if signed_in is None:
            return None
        registry = self.registry(request)
        found = await registry.find(signed_in["user_id"], signed_in["session_id"], signed_in["secret"])
        if found is None:
            return None
        return Identity(
            user_id=found.user_id,
            session_id=found.session_id,
            roles=frozenset(signed_in["roles"]),
            proof=Proof.SESSION,
        )


SESSIONS = web.AppKey("aiohttp_jobs.sessions", Sessions)


async def remember(request: web.Request, user_id: str, roles: Collection[str]) -> None:
    """Sign `user_id` in with `roles`: later requests of this session are theirs, until it ends.

    Call it in the host's login handler, once the user is authenticated. The session gets a new id, against
    session fixation; a session that is signed in already ends.

    Raises ``ValueError`` for an invalid user id, `ConfigurationError` where no plugin is mounted, and
    aiohttp's ``HTTPInsufficientStorage`` or ``HTTPServiceUnavailable``, which are responses of their own,
    when the session cannot be stored.
    """
    if not user_id or "\0" in user_id:
        raise ValueError("user_id must be a non-empty text without NUL characters")
    registry = _registry_in(request.match_info.apps[0])
    if registry is None:
        raise ConfigurationError(
            "remember() was called in an application in which aiohttp-jobs is not mounted, so nobody "
            "would find the session. Call it in a handler of the host that has the plugin."
        )
    if aiohttp_session.STORAGE_KEY not in request:
        raise ConfigurationError(
            "remember() was called in an application without sessions. The plugin keeps them for the one that"
            " it is in: sign in there, or call aiohttp_session.setup in the outermost application."
        )
    old = dict(await aiohttp_session.get_session(request))
    with _answering_for_storage():
        record, secret = await registry.in_thread(
            registry.add,
            user_id,
            address=request.remote or "",
            user_agent=request.headers.get("User-Agent", ""),
        )
        await _end(registry, _signed_in(old))
    session = await aiohttp_session.new_session(request)
    session.update(old)
    session[_FIELD] = {
        "user_id": user_id,
        "roles": sorted(set(roles)),
        "session_id": record.session_id,
        "secret": secret,
        "signed_in_at": int(record.signed_in_at.timestamp()),
    }


async def forget(request: web.Request) -> None:
    """Sign out: end the session, so that copies of its cookie are worthless.

    Raises aiohttp's ``HTTPServiceUnavailable``, which is a response of its own, when that cannot be stored.
    """
    session = await aiohttp_session.get_session(request)
    signed_in = _signed_in(session)
    session.pop(_FIELD, None)
    session.changed()
    registry = _registry_in(request.match_info.apps[0])
    if registry is not None:
        with _answering_for_storage():
            await _end(registry, signed_in)


@contextlib.contextmanager
def _answering_for_storage() -> Iterator[None]:
    """Have aiohttp answer for storage that refuses: the host's handlers need not know `JobsError`."""
    try:
        yield
    except (OSError, BusyError) as error:
        fault = fault_of(error)
        if isinstance(error, JobsError):
            refusal: JobsError = error
        elif fault is None:
            raise
        else:
            refusal = fault.error()
        kind = web.HTTPInsufficientStorage if refusal.status == 507 else web.HTTPServiceUnavailable
        raise kind(text=refusal.message, headers={"Retry-After": str(refusal.retry_after)}) from None


async def _end(registry: SessionRecords, signed_in: dict[str, Any] | None) -> None:
    if signed_in is not None:
        await registry.in_thread(registry.revoke, signed_in["user_id"], signed_in["session_id"])


def _signed_in(session: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `remember` put into the session; ``None`` for nothing, or nothing that has a secret."""
    data = session.get(_FIELD)
    if not isinstance(data, dict) or not isinstance(data.get("roles"), list):
        return None
    return data if all(isinstance(data.get(name), str) for name in _TEXTS) else None


def _registry_in(app: web.Application) -> SessionRecords | None:
    """That of the first plugin that is mounted in `app`, at whatever depth."""
    found = app.get(SESSIONS)
    if found is not None:
        return found.own
    for resource in app.router.resources():
        below = resource.get_info().get("app")
        registry = None if below is None else _registry_in(below)
        if registry is not None:
            return registry
    return None


def arrived_over_https(request: web.BaseRequest) -> bool:
    """Whether the connection is encrypted, or a header says that a proxy's connection is.

    Anybody can send such a header: use this for advice, not for security decisions.
    """
    forwarded = request.headers.get("X-Forwarded-Proto", "").lower().split(",")
    return (
        request.secure
        or "https" in (each.strip() for each in forwarded)
        or any(each.get("proto", "").lower() == "https" for each in request.forwarded)
    )
