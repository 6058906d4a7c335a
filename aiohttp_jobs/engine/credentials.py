"""Creates API keys and sessions, with secrets of which only digests are stored, and finds a secret's key.

No I/O: the engines store them.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Unpack

from pydantic import ValidationError

from ..errors import TooManyKeptError
from ..model.api_key import ApiKey, ApiKeyFields
from ..model.job import utc_now
from ..model.session import SessionRecord
from ..system.jsontext import loads
from ..system.one_by_one import pausing

_SECRET_BYTES = 32
_MOST_OF_A_NAME = 200
_logger = logging.getLogger(__name__)


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


class KeyRing:
    """The API keys in `lines`, each the JSON text of a record.

    There may be ten thousand: only ids, digests and users are parsed at first, with pauses, and a record
    stays text until it is needed, because so many objects would slow down the garbage collector for the whole
    host. A damaged record is logged and its key does not work; the others do. Raises ``ValueError`` for a
    line that is not JSON.
    """

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self.lines = list(lines)
        self._index: dict[str, int] = {}
        self._by_digest: dict[str, str] = {}
        self._of_users: Counter[str] = Counter()
        for index, line in enumerate(pausing(self.lines)):
            record = loads(line)
            if isinstance(record, dict):
                key_id = str(record.get("KeyID"))
                self._index[key_id] = index
                self._by_digest[str(record.get("SHA256"))] = key_id
                self._of_users[str(record.get("UserID"))] += 1
        self._checked: dict[str, ApiKey | None] = {}

    def count_of(self, user_id: str) -> int:
        """How many keys the user has, including damaged, disabled and expired ones."""
        return self._of_users[user_id]

    def index_of(self, key_id: str) -> int:
        """The index in `lines` of the key with this id. Raises ``KeyError``."""
        return self._index[key_id]

    def all(self) -> Iterator[ApiKey]:
        """All keys that are not damaged, oldest first. Takes about 10 microseconds for each."""
        return (key for key_id in self._index if (key := self.get(key_id)) is not None)

    def get(self, key_id: str) -> ApiKey | None:
        """The key with this id, or ``None``."""
        if key_id not in self._index:
            return None
        if key_id not in self._checked:
            self._checked[key_id] = _key_of(key_id, loads(self.lines[self._index[key_id]]))
        return self._checked[key_id]

    def find(self, secret: str, remote: str | None) -> ApiKey | None:
        """The key whose secret is `secret`, if it may be used now from the address `remote`.

        It is looked up by digest, so timing reveals at most something about digests, which nobody can choose,
        and nothing about a key.
        """
        key = self._opened_by(secret)
        return key if key is not None and key.is_valid_at(utc_now(), remote) else None

    def id_meant_by(self, secret: str) -> str | None:
        """The id that `secret` names, even if the rest of it is wrong; ``None`` when no key has that id."""
        key = self._opened_by(secret)
        claimed = secret.partition(".")[0] if key is None else key.key_id
        return claimed if claimed in self._index else None

    def _opened_by(self, secret: str) -> ApiKey | None:
        digest = digest_of(secret)
        key_id = self._by_digest.get(digest)
        key = None if key_id is None else self.get(key_id)
        return key if key is not None and hmac.compare_digest(key.sha256, digest) else None


def _key_of(key_id: str, record: dict[str, Any]) -> ApiKey | None:
    try:
        return ApiKey.model_validate(record)
    except ValidationError as error:
        fields = ", ".join(sorted({str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}))
        _logger.error("The API key %s does not work, as its record is damaged: %s", key_id, fields)
        return None
