"""AccountService: a caller's identity, rights and API keys. The engines store the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ..access.current_roles import CurrentRoles
from ..access.policy import AccessPolicy
from ..config import JobsConfig
from ..engine.base import ApiKeyRecords, Capability
from ..errors import ForbiddenError, InvalidFieldsError, NotFoundError
from ..model.api_key import ApiKey
from ..model.field_faults import what_is_wrong
from ..model.identity import Identity, Proof
from ..model.job import (
    CommandText,
    InterpreterName,
    OneLine,
    StartTime,
    Text,
    format_utc,
    utc_now,
)
from ..model.roles import effective_roles
from ..model.schema_extras import SchemaExtras
from ..system.one_by_one import one_by_one


def _camel(field: str) -> str:
    return {"allowed_ips": "allowedIPs"}.get(field, to_camel(field))


_Network = Annotated[Text, Field(max_length=100), SchemaExtras({"format": "ip-network"})]


class ApiKeyRequest(BaseModel):
    """The body of ``POST /api-keys``.

    Without `roles`, the key gets the roles of its creator; a key for another user, those of them that this
    user has too.
    """

    model_config = ConfigDict(
        alias_generator=_camel, extra="forbid", frozen=True, populate_by_name=True, defer_build=True
    )

    name: Annotated[OneLine, Field(min_length=1, max_length=200)]
    roles: (
        Annotated[tuple[Annotated[OneLine, Field(min_length=1, max_length=200)], ...], Field(max_length=50)]
        | None
    ) = None
    allowed_ips: Annotated[tuple[_Network, ...], Field(max_length=100)] = ()
    expires_at: Annotated[StartTime | None, Field(description="In the future.")] = None
    user_id: Annotated[CommandText, Field(min_length=1, max_length=1000)] | None = None
    service: Annotated[
        bool,
        Field(strict=True, description="For a program whose user the server does not know."),
    ] = False


class ApiKeyChange(BaseModel):
    """The body of ``PATCH /api-keys/{id}``."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    enabled: Annotated[bool, Field(strict=True)]


class AccountService:
    """What callers can learn and change about themselves. Every method takes the caller's `Identity`."""

    def __init__(
        self,
        config: JobsConfig,
        policy: AccessPolicy,
        api_keys: ApiKeyRecords,
        current: CurrentRoles,
        interpreters: Collection[InterpreterName],
        capabilities: Collection[Capability],
    ) -> None:
        self._config = config
        self._policy = policy
        self._api_keys = api_keys
        self._current = current
        self._changing = asyncio.Lock()  # so that changes take up one thread, however long each takes
        self._interpreters = interpreters
        self._capabilities = capabilities

    def describe(self, identity: Identity) -> dict[str, Any]:
        """The caller's identity and rights, in camelCase. Times are in seconds, sizes in bytes."""
        config = self._config
        return {
            "userId": identity.user_id,
            "roles": sorted(effective_roles(identity.roles)),
            "proof": identity.proof.value,
            "modes": [mode.value for mode in self._policy.modes(identity.roles)],
            "interpreters": sorted(name.value for name in self._interpreters),
            "defaultInterpreter": config.default_interpreter.value,
            "maxPriority": self._policy.highest_priority(identity.roles),
            "capabilities": sorted(each.value for each in self._capabilities),
            "permissions": self._policy.rights(identity.roles),
            "limits": {
                "maxCommandBytes": config.max_command_bytes,
                "maxNameLength": config.max_name_length,
                "maxDescriptionLength": config.max_description_length,
                "maxTimeout": config.max_timeout,
                "defaultTimeout": config.default_timeout,
            },
            "serverTime": format_utc(utc_now()),
        }

    async def list_keys(self, identity: Identity, *, everyone: bool) -> list[dict[str, Any]]:
        """The caller's keys without their secrets; with `everyone`, the keys of all users."""
        self._policy.require(identity.roles, "manage_api_keys")
        if everyone:
            self._policy.require(identity.roles, "manage_all_api_keys")
        keys = await self._api_keys.in_thread(self._api_keys.all)
        wanted = [key for key in keys if everyone or key.user_id == identity.user_id]
        return await one_by_one(ApiKey.public, wanted)

    async def create_key(self, identity: Identity, request: ApiKeyRequest) -> tuple[dict[str, Any], str]:
        """Create a key; return its record and its secret, which is not stored.

        Raises `ForbiddenError` for roles that the caller or the key's user lacks, for a service key or
        another user's key unless the caller may create them, and for callers who are authenticated by a key:
        a leaked key must not multiply. Raises `TooManyKeptError` when the user has reached the limit.
        """
        self._require_person(identity)
        user_id = request.user_id or identity.user_id
        if user_id != identity.user_id or request.service:
            self._policy.require(identity.roles, "manage_all_api_keys")
        roles = await self._roles_for(identity, request, user_id)
        if request.expires_at is not None and request.expires_at <= utc_now():
            raise InvalidFieldsError.of_one("expiresAt", "must be in the future")

        def create() -> tuple[ApiKey, str]:
            return self._api_keys.create(
                name=request.name,
                user_id=user_id,
                roles=sorted(roles),
                allowed_ips=request.allowed_ips,
                created_by=identity.user_id,
                expires_at=request.expires_at,
                service=request.service,
                most=self._config.max_api_keys_per_user,
            )

        try:
            async with self._changing:
                key, secret = await self._api_keys.in_thread(create)
        except ValidationError as error:
            field = _camel(str(error.errors()[0]["loc"][0]).replace("AllowedIPs", "allowed_ips"))
            raise InvalidFieldsError.of_one(field, what_is_wrong(error.errors()[0])) from None
        return key.public(), secret

    async def set_key_enabled(self, identity: Identity, key_id: str, enabled: bool) -> dict[str, Any]:
        """Enable or disable a key; return its record.

        Raises `NotFoundError`, also for a key that the caller may not know of, and `ForbiddenError` for
        enabling a key that somebody else disabled, unless the caller is an administrator.
        """
        self._require_person(identity)
        is_admin = self._manages_all(identity)

        def change(key: ApiKey) -> ApiKey:
            if key.enabled == enabled and not is_admin:
                return key  # who disabled it first remains who did
            by = None if enabled else identity.user_id
            return key.model_copy(update={"enabled": enabled, "disabled_by": by})

        def require(key: ApiKey) -> None:
            self._require_known(identity, key)
            if enabled and not key.enabled and not is_admin and key.disabled_by != identity.user_id:
                by = f"by {key.disabled_by}" if key.disabled_by else "on the server"
                raise ForbiddenError(
                    f"This API key was disabled {by}; only they or an administrator can enable it again."
                )

        async with self._changing:
            key = await self._api_keys.in_thread(self._api_keys.change, key_id, change, require)
        return key.public()

    async def delete_key(self, identity: Identity, key_id: str) -> None:
        """Delete a key. Raises `NotFoundError`, also for a key that the caller may not know of."""
        self._require_person(identity)
        async with self._changing:
            await self._api_keys.in_thread(
                self._api_keys.delete, key_id, lambda key: self._require_known(identity, key)
            )

    async def require_changeable(self, identity: Identity, key_id: str) -> None:
        """Raise `ForbiddenError`, or `NotFoundError` for a key that the caller may not know of."""
        self._require_person(identity)
        key = (await self._api_keys.now()).get(key_id)
        if key is None:
            raise _no_key(key_id)
        self._require_known(identity, key)

    async def _roles_for(self, identity: Identity, request: ApiKeyRequest, user_id: str) -> frozenset[str]:
        """The roles of the key to be made: none that its maker lacks, and none that its user does."""
        roles = identity.roles if request.roles is None else frozenset(request.roles)
        _require_roles(roles, identity.roles, "you do")
        if not self._current.has_resolver or (user_id == identity.user_id and not request.service):
            return roles
        current = await self._current.of_user(user_id, ())
        if request.service:
            if current is not None:
                raise InvalidFieldsError.of_one(
                    "service", f"is for users unknown to the server, and it knows {user_id!r}"
                )
            return roles
        if current is None:
            raise InvalidFieldsError.of_one(
                "userId", f"is unknown to the server: {user_id!r}. A program needs a service key"
            )
        if request.roles is None:
            return roles & current
        _require_roles(roles, current, f"the user {user_id!r} does")
        return roles

    def _require_known(self, identity: Identity, key: ApiKey) -> None:
        if key.user_id != identity.user_id and not self._manages_all(identity):
            raise _no_key(key.key_id)

    def _manages_all(self, identity: Identity) -> bool:
        return self._policy.allows(identity.roles, "manage_all_api_keys")

    def _require_person(self, identity: Identity) -> None:
        self._policy.require(identity.roles, "manage_api_keys")
        if identity.proof is Proof.API_KEY:
            raise ForbiddenError("An API key cannot manage API keys. Sign in to do that.")


def _require_roles(roles: frozenset[str], held: Collection[str], whoever: str) -> None:
    missing = sorted(roles - effective_roles(held))
    if missing:
        raise ForbiddenError(f"A key cannot have the role '{missing[0]}', which {whoever} not have.")


def _no_key(key_id: str) -> NotFoundError:
    return NotFoundError(f"There is no API key {key_id}.")
