"""API keys over HTTP."""

from __future__ import annotations

import builtins
from collections.abc import Collection

from .connection import Connection, Record, given, scope


class ApiKeyCalls:
    """``/api-keys``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self, *, everyone: bool = False) -> builtins.list[Record]:
        """The caller's keys, without their secrets."""
        answer = await self._connection.call("GET", "/api-keys", params={"scope": scope(everyone)})
        return [dict(key) for key in answer["apiKeys"]]

    async def create(
        self,
        name: str,
        *,
        roles: Collection[str] | None = None,
        allowed_ips: Collection[str] | None = None,
        expires_at: str | None = None,
        user_id: str | None = None,
        service: bool = False,
    ) -> tuple[Record, str]:
        """Create a key; return its record and its secret, which is not shown again.

        A `service` key is for a program whose user the server does not know; only administrators may create
        one.
        """
        body = given(
            name=name,
            roles=None if roles is None else list(roles),
            allowedIPs=None if allowed_ips is None else list(allowed_ips),
            expiresAt=expires_at,
            userId=user_id,
            service=service or None,
        )
        answer = await self._connection.call("POST", "/api-keys", json=body)
        return dict(answer["apiKey"]), str(answer["secret"])

    async def set_enabled(self, key_id: str, enabled: bool) -> Record:
        answer = await self._connection.call("PATCH", f"/api-keys/{key_id}", json={"enabled": enabled})
        return dict(answer["apiKey"])

    async def delete(self, key_id: str) -> None:
        await self._connection.call("DELETE", f"/api-keys/{key_id}")
