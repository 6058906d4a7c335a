"""Roles and what each may do: the specification's two tables and the pure functions that read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from ..errors import ForbiddenError
from ..model.job import SHARED_KEY, ExecutionMode, is_shared_key

AUTHENTICATED = "authenticated"
"""The role that everyone who is signed in has, whatever else they have."""

ELEVATED_ROLES = frozenset({"debug", "task_manager", "system_admin", "site_admin"})

ADMIN_ROLES = frozenset({"system_admin", "site_admin"})

MODE_ROLES: Mapping[ExecutionMode, frozenset[str]] = MappingProxyType(
    {
        ExecutionMode.MAIN_LOOP: frozenset({"debug"}),
        ExecutionMode.RUNSPACE: ELEVATED_ROLES,
        ExecutionMode.BACKGROUND_JOB: ELEVATED_ROLES,
    }
)
"""Specification, "Execution Mode Permissions": one of these roles is needed."""

ENDPOINT_ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "submit": ELEVATED_ROLES,
        "list_results": frozenset({AUTHENTICATED}),
        "delete_results": frozenset({AUTHENTICATED}),
        "list_jobs": frozenset({AUTHENTICATED}),
        "cancel_jobs": frozenset({AUTHENTICATED}),
        "see_queue": frozenset({AUTHENTICATED}),
        "see_runspaces": ELEVATED_ROLES,
        "manage_queue": ADMIN_ROLES,
        "see_all_jobs": ADMIN_ROLES,
        "cancel_all_jobs": ADMIN_ROLES,
        "manage_api_keys": ELEVATED_ROLES,
        "manage_all_api_keys": ADMIN_ROLES,
        "manage_sessions": frozenset({AUTHENTICATED}),
        "manage_all_sessions": ADMIN_ROLES,
        "list_notices": frozenset({AUTHENTICATED}),
        "manage_notices": frozenset({AUTHENTICATED}),
        "manage_all_notices": ADMIN_ROLES,
        "manage_templates": ELEVATED_ROLES,
        "share_concurrency_keys": ADMIN_ROLES | {"debug"},
    }
)
"""Specification, "API Endpoint Permissions", and what came after it."""

PRIORITY_ROLES: Mapping[str, int] = MappingProxyType(
    {AUTHENTICATED: 5, "task_manager": 7, "debug": 9, "system_admin": 9, "site_admin": 9}
)
"""The highest priority that each role may use."""


def effective_roles(roles: Collection[str]) -> frozenset[str]:
    """The roles of someone who is signed in: what they were given, and ``authenticated``."""
    return frozenset(roles) | {AUTHENTICATED}


def require_mode(
    roles: Collection[str],
    mode: ExecutionMode,
    table: Mapping[ExecutionMode, frozenset[str]] = MODE_ROLES,
) -> None:
    """Raise `ForbiddenError`, in the specification's words, unless `roles` may run in `mode`."""
    needed = table[mode]
    if _have_one(roles, needed):
        return
    if len(needed) == 1:
        raise ForbiddenError(f"{mode} execution mode requires '{next(iter(needed))}' role")
    raise ForbiddenError(f"{mode} execution mode requires elevated roles: {_one_of(needed)}")


def allows(
    roles: Collection[str], endpoint: str, table: Mapping[str, frozenset[str]] = ENDPOINT_ROLES
) -> bool:
    """Whether `roles` may use `endpoint`, one of the keys of `ENDPOINT_ROLES`."""
    return _have_one(roles, table[endpoint])


def highest_priority(roles: Collection[str], table: Mapping[str, int]) -> int:
    """The highest priority (0 to 9) that `roles` may use."""
    return max((table.get(role, 0) for role in effective_roles(roles)), default=0)


def require_priority(roles: Collection[str], priority: int, table: Mapping[str, int]) -> None:
    """Raise `ForbiddenError` for a priority above the highest that `roles` may use."""
    highest = highest_priority(roles, table)
    if priority > highest:
        raise ForbiddenError(f"Your roles allow priorities up to {highest}, not {priority}.")


def require_concurrency_key(
    roles: Collection[str], key: str | None, table: Mapping[str, frozenset[str]]
) -> None:
    """Raise `ForbiddenError` for a key that all users share, unless `roles` may use such keys."""
    if is_shared_key(key) and not allows(roles, "share_concurrency_keys", table):
        raise ForbiddenError(
            f"Your roles do not allow concurrency keys that all users share. Leave out '{SHARED_KEY}' for a "
            "key of your own."
        )


def require_endpoint(
    roles: Collection[str], endpoint: str, table: Mapping[str, frozenset[str]] = ENDPOINT_ROLES
) -> None:
    """Raise `ForbiddenError` unless `roles` may use `endpoint`, one of the keys of `ENDPOINT_ROLES`."""
    if not allows(roles, endpoint, table):
        action = endpoint.replace("_", " ")
        raise ForbiddenError(f"To {action} requires elevated roles: {_one_of(table[endpoint])}")


def _have_one(roles: Collection[str], needed: frozenset[str]) -> bool:
    return AUTHENTICATED in needed or not needed.isdisjoint(roles)


def _one_of(roles: Collection[str]) -> str:
    return "one of " + ", ".join(f"'{role}'" for role in sorted(roles)) if roles else "nobody has it"
