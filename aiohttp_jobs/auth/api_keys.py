"""API keys: made, listed, disabled, deleted and checked. Only their SHA-256 is ever stored.

All keys lie in one file, replaced whole; a running host sees a change by the file's identity.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..config import APP_FOLDER
from ..errors import ConfigurationError, NotFoundError
from ..models import CommandText, OneLine, UtcDatetime, utc_now
from ..store.durable import make_folder, replace_file

_KEY_BYTES = 32


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


class ApiKey(BaseModel):
    """What is kept of a key.

    `allowed_ips` are addresses and CIDR ranges; empty means any. A `service` key is for a program whose
    user the host's ``roles_resolver`` does not know; any other ends with its user.
    """

    model_config = ConfigDict(
        alias_generator=lambda name: {
            "key_id": "KeyID",
            "user_id": "UserID",
            "allowed_ips": "AllowedIPs",
            "sha256": "SHA256",
        }.get(name, name.title().replace("_", "")),
        frozen=True,
        populate_by_name=True,
    )

    key_id: str
    name: Annotated[OneLine, Field(min_length=1, max_length=200)]
    user_id: Annotated[CommandText, Field(min_length=1, max_length=1000)]
    roles: tuple[Annotated[OneLine, Field(min_length=1)], ...] = ()
    allowed_ips: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(default=())
    created_by: str = ""
    created_at: UtcDatetime
    expires_at: UtcDatetime | None = None
    enabled: bool = True
    service: bool = False
    sha256: str

    def public(self) -> dict[str, Any]:
        """The key as it may be shown: everything but its digest."""
        return self.model_dump(mode="json", by_alias=True, exclude={"sha256"})

    def is_alive_at(self, now: datetime) -> bool:
        """Whether it is neither disabled nor expired."""
        return self.enabled and (self.expires_at is None or now < self.expires_at)

    def is_valid_at(self, now: datetime, remote: str | None) -> bool:
        """Whether it may be used `now` from the address `remote`."""
        return self.is_alive_at(now) and self._allows(remote)

    def _allows(self, remote: str | None) -> bool:
        if not self.allowed_ips:
            return True
        try:
            address = ipaddress.ip_address(remote or "")
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in ipaddress.ip_network(network) for network in self.allowed_ips)


def ended_with_user(subject: str, key: ApiKey) -> str:
    """The sentence that says why `key`, called `subject`, does not work: its user is not known."""
    return (
        f"{subject} does not work, as its user {key.user_id!r} is not known to the server, or no longer. "
        "A program without a user of its own needs a service key, which an administrator makes."
    )


_Keys = TypeAdapter(list[ApiKey])


class ApiKeys:
    """The keys of one data folder. Changes are safe beside a running host and other processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = str(path)
        self._seen: tuple[int, int, int] | None = None
        self._keys: list[ApiKey] = []

    @classmethod
    def in_data_dir(cls, data_dir: Path) -> ApiKeys:
        return cls(data_dir.absolute() / APP_FOLDER / "Secrets" / "api-keys.json")

    def create(
        self,
        *,
        name: str,
        user_id: str,
        roles: Collection[str],
        allowed_ips: Collection[str] = (),
        created_by: str = "",
        expires_at: datetime | None = None,
        service: bool = False,
    ) -> tuple[ApiKey, str]:
        """A new key: its record, and the key itself (base64url of 32 random bytes), shown only here.

        Raises pydantic's ``ValidationError`` for a bad value. Blocks.
        """
        secret = secrets.token_urlsafe(_KEY_BYTES)
        key = ApiKey(
            key_id=str(uuid.uuid4()),
            name=name,
            user_id=user_id,
            roles=tuple(dict.fromkeys(roles)),
            allowed_ips=tuple(allowed_ips),
            created_by=created_by,
            created_at=utc_now(),
            expires_at=expires_at,
            service=service,
            sha256=_digest(secret),
        )
        self._change(lambda keys: [*keys, key])
        return key, secret

    def all(self) -> list[ApiKey]:
        """Every key, oldest first. Raises `ConfigurationError` if the file is damaged."""
        self._refresh()
        return self._keys

    def get(self, key_id: str) -> ApiKey | None:
        return next((key for key in self.all() if key.key_id == key_id), None)

    def set_enabled(self, key_id: str, enabled: bool) -> ApiKey:
        """Raises `NotFoundError` when there is no such key. Blocks."""
        changed = self._existing(key_id).model_copy(update={"enabled": enabled})
        self._change(lambda keys: [changed if key.key_id == key_id else key for key in keys])
        return changed

    def delete(self, key_id: str) -> ApiKey:
        """Raises `NotFoundError` when there is no such key. Blocks."""
        deleted = self._existing(key_id)
        self._change(lambda keys: [key for key in keys if key.key_id != key_id])
        return deleted

    def find(self, secret: str, remote: str | None) -> ApiKey | None:
        """The valid key that `secret` is, if any. Takes the same time whichever key it is nearest to.

        Looks at the file's identity each time, a call of a few microseconds, and reads it only when
        it has changed.
        """
        digest = _digest(secret)
        found = None
        for key in self.all():
            if hmac.compare_digest(key.sha256.encode(), digest.encode()):
                found = key
        return found if found is not None and found.is_valid_at(utc_now(), remote) else None

    def _existing(self, key_id: str) -> ApiKey:
        key = self.get(key_id)
        if key is None:
            raise NotFoundError(f"There is no API key with the KeyID {key_id!r}.")
        return key

    def _change(self, change: Callable[[list[ApiKey]], list[ApiKey]]) -> None:
        with self._locked():
            self._seen = None
            self._refresh()
            text = json.dumps(_Keys.dump_python(change(self._keys), mode="json", by_alias=True), indent=2)
            replace_file(self._path, text.encode())
            self._seen = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_folder(self._path.parent)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _refresh(self) -> None:
        try:
            status = os.stat(self._name)
        except FileNotFoundError:
            self._seen, self._keys = None, []
            return
        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        if identity == self._seen:
            return
        try:
            self._keys = _Keys.validate_json(self._path.read_bytes())
        except ValidationError:
            raise ConfigurationError(f"The API key file {self._path} is damaged.") from None
        self._seen = identity


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
