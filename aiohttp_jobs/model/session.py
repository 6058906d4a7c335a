"""Sessions: the stored record of a sign-in, and what is shown of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal

from .job import UtcDatetime, format_utc


class SessionRecord(BaseModel):
    """The stored record of a session, which never changes. `sha256` is the digest of the secret in its
    cookie.
    """

    model_config = ConfigDict(
        alias_generator=lambda name: {
            "session_id": "SessionID",
            "user_id": "UserID",
            "sha256": "SHA256",
        }.get(name, to_pascal(name)),
        frozen=True,
        populate_by_name=True,
    )

    session_id: str
    user_id: str
    signed_in_at: UtcDatetime
    expires_at: UtcDatetime
    address: str = ""
    user_agent: str = ""
    sha256: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """An open session, and when it was last used, to the minute."""

    record: SessionRecord
    last_used_at: datetime

    def public(self) -> dict[str, Any]:
        """The session as it may be shown: without its digest."""
        shown = self.record.model_dump(mode="json", by_alias=True, exclude={"sha256"})
        return shown | {"LastUsedAt": format_utc(self.last_used_at)}
