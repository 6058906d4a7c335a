"""What ``aiohttp-jobs db`` does to a PostgreSQL database.

The schema is in ``engine.postgres.migrations``, which is imported on demand because it needs psycopg.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine.postgres import postgres_needed

if TYPE_CHECKING:
    from types import ModuleType


def upgrade(dsn: str) -> list[str]:
    """Upgrade the tables; return a description of each step taken. Raises `ConfigurationError`. Blocks."""
    return [str(step) for step in _migrations().upgrade_schema(dsn)]


def problem(dsn: str) -> str | None:
    """A sentence that says why this release cannot use the database; ``None`` when it can.

    Raises `ConfigurationError` when the database cannot be reached. Blocks.
    """
    found: str | None = _migrations().schema_state(dsn).problem
    return found


def _migrations() -> ModuleType:
    with postgres_needed():
        from ..engine.postgres import migrations  # noqa: PLC0415 - as said above
    return migrations
