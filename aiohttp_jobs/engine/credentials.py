"""Creates API keys and sessions, with secrets of which only digests are stored.

No I/O: the engines store them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from datetime import timedelta
from typing import Unpack

from ..errors import TooManyKeptError
from ..model.api_key import ApiKey, ApiKeyFields
from ..model.job import utc_now
from ..model.session import SessionRecord

_SECRET_BYTES = 32
_MOST_OF_A_NAME = 200


def digest_of(secret: str) -> str:
    """The stored digest of a secret: its SHA-256 in hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def is_digest_of(digest: str, secret: str) -> bool:
    """Whether `digest` is the digest of `secret`, compared in constant time."""
    return hmac.compare_digest(digest.encode(), digest_of(secret).encode())


def new_api_key(**fields: Unpack[ApiKeyFields]) -> tuple[ApiKey, str]:
    """A new key: its record and its secret, which is the id, a dot, and 32 random bytes in base64url.

    Raises pydantic's ``ValidationError`` for a bad value.
    """
    key_id = str(uuid.uuid4())
    secret = f"{key_id}.{secrets.token_urlsafe(_SECRET_BYTES)}"
    roles, allowed_ips = tuple(dict.fromkeys(fields["roles"])), tuple(fields.get("allowed_ips", ()))
    given = {**fields, "roles": roles, "allowed_ips": allowed_ips}
    return ApiKey(key_id=key_id, created_at=utc_now(), sha256=digest_of(secret), **given), secret


def require_another_key(used: int, most: int | None) -> None:
    """Raise `TooManyKeptError` for a user who has `used` keys of `most` allowed ones."""
    if most is not None and used >= most:
        raise TooManyKeptError(
            "max_api_keys_per_user", most=most, used=used, what="API keys", advice="Delete one first."
        )


def new_session(
    user_id: str, max_age: timedelta, *, address: str = "", user_agent: str = ""
) -> tuple[SessionRecord, str]:
    """A new session that ends after `max_age`, and its secret."""
    secret, now = secrets.token_urlsafe(_SECRET_BYTES), utc_now()
    record = SessionRecord(
        session_id=str(uuid.uuid4()),
        user_id=user_id,
        signed_in_at=now,
        expires_at=now + max_age,
        address=_one_line(address),
        user_agent=_one_line(user_agent),
        sha256=digest_of(secret),
    )
    return record, secret


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_MOST_OF_A_NAME])
