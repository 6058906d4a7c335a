"""What ``aiohttp-jobs db`` does to a PostgreSQL database, without a host.

The schema is in ``engine.postgres.migrations``, which is imported on demand because it needs psycopg.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import ConfigurationError

if TYPE_CHECKING:
    from types import ModuleType

    from .engine.postgres.facts import DatabaseFacts


def upgrade(dsn: str) -> list[str]:
    """Upgrade the tables; return a description of each step taken. Raises `ConfigurationError`. Blocks."""
    return [str(step) for step in _migrations().upgrade_schema(dsn)]


def problem(dsn: str) -> str | None:
    """A sentence that says why this release cannot use the database; ``None`` when it can.

    Raises `ConfigurationError` when the database cannot be reached. Blocks.
    """
    found: str | None = _migrations().schema_state(dsn).problem
    return found


def facts(dsn: str, secret: str | None) -> DatabaseFacts:
    """Facts about a database that has no problem. Raises `ConfigurationError`. Blocks."""
    with postgres_needed():
        from .engine.postgres.facts import database_facts  # noqa: PLC0415 - as said above
    return database_facts(dsn, secret)


@contextmanager
def postgres_needed() -> Iterator[None]:
    """Turns a failing import of ``engine.postgres`` inside the block into a `ConfigurationError` that says
    what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in {"psycopg", "psycopg_pool"}:
            raise
        raise ConfigurationError("PostgreSQL needs more: pip install 'aiohttp-jobs[postgres]'.") from None


def _migrations() -> ModuleType:
    with postgres_needed():
        from .engine.postgres import migrations  # noqa: PLC0415 - as said above
    return migrations
