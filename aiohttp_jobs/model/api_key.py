"""ApiKey: the stored record of an API key, and whether it may be used now."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, NotRequired, TypedDict

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .job import CommandText, OneLine, UtcDatetime


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


class ApiKeyFields(TypedDict):
    """The fields that are given when a key is created; see `ApiKey`."""

    name: str
    user_id: str
    roles: Collection[str]
    allowed_ips: NotRequired[Collection[str]]
    created_by: NotRequired[str]
    expires_at: NotRequired[datetime | None]
    service: NotRequired[bool]


class ApiKey(BaseModel):
    """The stored record of a key.

    `allowed_ips` are addresses and CIDR ranges; empty means any. `disabled_by` is the user who disabled it,
    while it is disabled. A `service` key is for a program whose user the host's ``roles_resolver`` does not
    know; any other key ends with its user.
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
    disabled_by: str | None = None
    service: bool = False
    sha256: str

    def to_record(self) -> dict[str, Any]:
        """The JSON object as it is stored."""
        return self.model_dump(mode="json", by_alias=True)

    def public(self) -> dict[str, Any]:
        """The key as it may be shown: without its digest."""
        return self.model_dump(mode="json", by_alias=True, exclude={"sha256"})

    def is_alive_at(self, now: datetime) -> bool:
        """Whether it is enabled and not expired."""
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
    """The sentence that says that `key`, called `subject`, does not work because its user is unknown."""
    return (
        f"{subject} does not work, as its user {key.user_id!r} is not known to the server, or no longer. "
        "A program without a user of its own needs a service key, which an administrator makes."
    )
