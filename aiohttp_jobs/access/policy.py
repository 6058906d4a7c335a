"""AccessPolicy: which roles may do what, by the tables in the configuration."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..config import JobsConfig
from ..errors import ForbiddenError
from ..model.identity import Identity
from ..model.job import SHARED_KEY, ExecutionMode, is_shared_key
from ..model.roles import AUTHENTICATED, ENDPOINT_ROLES, effective_roles


class AccessPolicy:
    """Answers from the tables ``mode_roles``, ``endpoint_roles`` and ``priority_roles``.

    A right is a key of ``endpoint_roles``. The caller supplies the roles.
    """

    def __init__(self, config: JobsConfig) -> None:
        self.adopt(config.mode_roles, config.endpoint_roles)
        self._priorities = config.priority_roles

    def adopt(
        self, modes: Mapping[ExecutionMode, frozenset[str]], rights: Mapping[str, frozenset[str]]
    ) -> None:
        """Use these tables from now on. A mode or right that they lack is denied to everybody."""
        self._modes = {mode: modes.get(mode, frozenset()) for mode in ExecutionMode}
        self._rights = {right: rights.get(right, frozenset()) for right in ENDPOINT_ROLES}

    def allows(self, roles: Collection[str], right: str) -> bool:
        """Whether `roles` have the right."""
        return _have_one(roles, self._rights[right])

    def require(self, roles: Collection[str], *rights: str) -> None:
        """Raise `ForbiddenError` unless `roles` have all of `rights`."""
        for right in rights:
            if not self.allows(roles, right):
                action = right.replace("_", " ")
                raise ForbiddenError(f"To {action} requires elevated roles: {_one_of(self._rights[right])}")

    def is_own_or(self, right: str, identity: Identity, owner: str | None) -> bool:
        """Whether `owner` is the caller, or the caller has `right`."""
        return owner == identity.user_id or self.allows(identity.roles, right)

    def require_own_or(self, right: str, identity: Identity, owner: str | None, noun: str) -> None:
        """Raise `ForbiddenError`, about a `noun`, unless `is_own_or`."""
        if not self.is_own_or(right, identity, owner):
            raise ForbiddenError(f"This {noun} is not yours.")

    def require_mode(self, roles: Collection[str], mode: ExecutionMode) -> None:
        """Raise `ForbiddenError`, with the specification's message, unless `roles` may run in `mode`."""
        needed = self._modes[mode]
        if _have_one(roles, needed):
            return
        if len(needed) == 1:
            raise ForbiddenError(f"{mode} execution mode requires '{next(iter(needed))}' role")
        raise ForbiddenError(f"{mode} execution mode requires elevated roles: {_one_of(needed)}")

    def highest_priority(self, roles: Collection[str]) -> int:
        """The highest priority (0 to 9) that `roles` may use."""
        return max((self._priorities.get(role, 0) for role in effective_roles(roles)), default=0)

    def require_priority(self, roles: Collection[str], priority: int | None) -> None:
        """Raise `ForbiddenError` for a priority above the highest that `roles` may use."""
        if priority is None:
            return
        highest = self.highest_priority(roles)
        if priority > highest:
            raise ForbiddenError(f"Your roles allow priorities up to {highest}, not {priority}.")

    def require_concurrency_key(self, roles: Collection[str], key: str | None) -> None:
        """Raise `ForbiddenError` for a concurrency key shared by all users, unless `roles` may use such
        keys.
        """
        if is_shared_key(key) and not self.allows(roles, "share_concurrency_keys"):
            raise ForbiddenError(
                f"Your roles do not allow concurrency keys that all users share. Leave out '{SHARED_KEY}' "
                "for a key of your own."
            )

    def require_run(
        self, roles: Collection[str], mode: ExecutionMode, key: str | None, priority: int | None = None
    ) -> None:
        """Raise `ForbiddenError` unless `roles` may submit a command to run in `mode`, with that concurrency
        key and that priority."""
        self.require_mode(roles, mode)
        self.require(roles, "submit")
        self.require_priority(roles, priority)
        self.require_concurrency_key(roles, key)

    def modes(self, roles: Collection[str]) -> list[ExecutionMode]:
        """The modes in which `roles` may run commands."""
        return [mode for mode, needed in self._modes.items() if _have_one(roles, needed)]

    def rights(self, roles: Collection[str]) -> list[str]:
        """All rights of `roles`."""
        return [right for right in self._rights if self.allows(roles, right)]


def _have_one(roles: Collection[str], needed: frozenset[str]) -> bool:
    return AUTHENTICATED in needed or not needed.isdisjoint(roles)


def _one_of(roles: Collection[str]) -> str:
    return "one of " + ", ".join(f"'{role}'" for role in sorted(roles)) if roles else "nobody has it"
