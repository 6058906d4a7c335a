"""The built-in roles, and their default rights. ``access.policy`` applies the configured ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from .job import ExecutionMode

AUTHENTICATED = "authenticated"
"""The role that everyone who is signed in has, whatever else they have."""

ELEVATED_ROLES = frozenset({"debug", "task_manager", "system_admin", "site_admin"})

ADMIN_ROLES = frozenset({"system_admin", "site_admin"})

MODE_ROLES: Mapping[ExecutionMode, frozenset[str]] = MappingProxyType(
    {
        **dict.fromkeys(ExecutionMode, ELEVATED_ROLES),
        ExecutionMode.MAIN_LOOP: frozenset({"debug"}),
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
        "pick_up_submissions": ELEVATED_ROLES,
        "see_runspaces": ELEVATED_ROLES,
        "restart_mainloop": frozenset({"debug"}),
        "manage_queue": ADMIN_ROLES,
        "see_health": ELEVATED_ROLES,
        "see_metrics": ELEVATED_ROLES,
        "see_all_jobs": ADMIN_ROLES,
        "cancel_all_jobs": ADMIN_ROLES,
        "manage_api_keys": ELEVATED_ROLES,
        "manage_all_api_keys": ADMIN_ROLES,
        "manage_sessions": frozenset({AUTHENTICATED}),
        "manage_all_sessions": ADMIN_ROLES,
        "list_notices": frozenset({AUTHENTICATED}),
        "manage_notices": frozenset({AUTHENTICATED}),
        "manage_all_notices": ADMIN_ROLES,
        "manage_all_schedules": ADMIN_ROLES,
        "manage_templates": ELEVATED_ROLES,
        "manage_all_templates": ADMIN_ROLES,
        "manage_triggers": ELEVATED_ROLES,
        "manage_all_triggers": ADMIN_ROLES,
        "share_concurrency_keys": ADMIN_ROLES | {"debug"},
    }
)
"""Specification, "API Endpoint Permissions", and what came after it."""

PRIORITY_ROLES: Mapping[str, int] = MappingProxyType(
    {AUTHENTICATED: 5, "task_manager": 7, "debug": 9, "system_admin": 9, "site_admin": 9}
)
"""The highest priority that each role may use."""


def effective_roles(roles: Collection[str]) -> frozenset[str]:
    """The roles of a signed-in user: those they were given, and ``authenticated``."""
    return frozenset(roles) | {AUTHENTICATED}
