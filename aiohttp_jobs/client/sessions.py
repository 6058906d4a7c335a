"""Sessions: where users are signed in, and ending them."""

from __future__ import annotations

import builtins

from .connection import Connection, Record, given, scope


class SessionCalls:
    """``/sessions``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self, *, everyone: bool = False, user_id: str | None = None) -> builtins.list[Record]:
        """The open sessions, latest sign-in first; for administrators those of `user_id`, or all."""
        params = {"scope": scope(everyone), **given(user=user_id)}
        answer = await self._connection.call("GET", "/sessions", params=params)
        return [dict(session) for session in answer["sessions"]]

    async def revoke(self, session_id: str) -> None:
        """End one session."""
        await self._connection.call("DELETE", f"/sessions/{session_id}")

    async def revoke_all(self, *, user_id: str | None = None, keep_current: bool = False) -> int:
        """End all sessions of the caller or of `user_id`, optionally except this one; return how many."""
        body = given(userId=user_id, keepCurrent=keep_current)
        answer = await self._connection.call("POST", "/sessions/revoke", json=body)
        return int(answer["revoked"])
