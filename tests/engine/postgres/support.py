"""A process's share of an installation in a database, made in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp_jobs.engine.postgres.installation import PostgresInstallation

SECRET = "the secret that all processes share"


def installation(dsn: str, **settings: Any) -> PostgresInstallation:
    from aiohttp_jobs.engine.postgres.installation import PostgresInstallation  # noqa: PLC0415 - needs psycopg

    given = {"secret": SECRET.encode(), "session_max_age": 3600.0, "max_sessions_per_user": 3, **settings}
    return PostgresInstallation(dsn, **given)
