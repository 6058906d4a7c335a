"""Sessions over HTTP: where somebody is signed in, and signing out there."""

from __future__ import annotations

import builtins

from .connection import Connection, Record, given, scope


class SessionCalls:
    """``/sessions``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self, *, everyone: bool = False, user_id: str | None = None) -> builtins.list[Record]:
        """The sessions that are open, the last to sign in first; for administrators `user_id`'s, or all."""
        params = {"scope": scope(everyone), **given(user=user_id)}
        answer = await self._connection.call("GET", "/sessions", params=params)
        return [dict(session) for session in answer["sessions"]]

    async def revoke(self, session_id: str) -> None:
        """Sign out one session."""
        await self._connection.call("DELETE", f"/sessions/{session_id}")

    async def revoke_all(self, *, user_id: str | None = None, keep_current: bool = False) -> int:
        """Sign out everywhere, or there but for this session; how many sessions that ended."""
        body = given(userId=user_id, keepCurrent=keep_current)
        answer = await self._connection.call("POST", "/sessions/revoke", json=body)
        return int(answer["revoked"])
