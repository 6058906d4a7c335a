"""SessionService: lists and ends sessions, with the caller's rights.

Signing in is in ``http.auth.sessions``.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ..access.policy import AccessPolicy
from ..engine.base import SessionRecords
from ..errors import ForbiddenError, NotFoundError
from ..model.identity import Identity, Proof
from ..model.job import CommandText


class SessionsToEnd(BaseModel):
    """The body of ``POST /sessions/revoke``: the user whose sessions end, by default the caller.

    With `keep_current`, the session of this request stays.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True, defer_build=True
    )

    user_id: Annotated[CommandText, Field(min_length=1, max_length=1000)] | None = None
    keep_current: Annotated[bool, Field(strict=True)] = False


class SessionService:
    """What callers can do with sessions.

    Every method takes the caller's `Identity` and the host's session registry.
    """

    def __init__(self, policy: AccessPolicy) -> None:
        self._policy = policy

    async def list(
        self, identity: Identity, registry: SessionRecords, *, everyone: bool, user_id: str | None
    ) -> list[dict[str, Any]]:
        """The caller's sessions, latest sign-in first; with `user_id` that user's, with `everyone` all.

        Raises `ForbiddenError`.
        """
        whose = None if everyone and user_id is None else user_id or identity.user_id
        self._require(identity, whose)
        found = await registry.in_thread(registry.all, whose)
        return [each.public() | {"Current": _is_own(identity, each.record.session_id)} for each in found]

    async def revoke(self, identity: Identity, registry: SessionRecords, session_id: str) -> None:
        """End one session. Raises `NotFoundError`, also for a session that the caller may not know of."""
        self._require(identity, identity.user_id)
        owner = await registry.in_thread(registry.owner_of, session_id)
        try:
            self._require(identity, owner)
        except ForbiddenError:
            raise NotFoundError(f"There is no session {session_id}.") from None
        await registry.in_thread(registry.revoke, owner, session_id)

    async def revoke_all(self, identity: Identity, registry: SessionRecords, request: SessionsToEnd) -> int:
        """End all sessions of a user; return how many there were. Raises `ForbiddenError`."""
        whose = request.user_id or identity.user_id
        self._require(identity, whose)
        keep = identity.session_id if request.keep_current else None
        return await registry.in_thread(registry.revoke_all, whose, keep)

    def _require(self, identity: Identity, whose: str | None) -> None:
        """Raise `ForbiddenError` unless the caller may know and end sessions of that user, or of all."""
        self._policy.require(identity.roles, "manage_sessions")
        if whose != identity.user_id or identity.proof is Proof.API_KEY:
            # Also of its own user: whoever finds a key would sign its owner out before they can disable it.
            self._policy.require(identity.roles, "manage_all_sessions")


def _is_own(identity: Identity, session_id: str) -> bool:
    return identity.proof is Proof.SESSION and identity.session_id == session_id
