"""What ``aiohttp-jobs db`` does to a PostgreSQL database, without a host.

The steps themselves are left to ``engine.postgres.migrations``, which is loaded when one is wanted: it needs
psycopg, which only those who use that engine have.
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
    """Bring the tables up to date: what each step was that was taken. Raises `ConfigurationError`. Blocks."""
    return [str(step) for step in _migrations().upgrade_schema(dsn)]


def problem(dsn: str) -> str | None:
    """Why this release cannot use the database, as a sentence; ``None`` when it can.

    Raises `ConfigurationError` when the database cannot be asked. Blocks.
    """
    found: str | None = _migrations().schema_state(dsn).problem
    return found


def facts(dsn: str, secret: str | None) -> DatabaseFacts:
    """What there is to know of a database without problems. Raises `ConfigurationError`. Blocks."""
    with postgres_needed():
        from .engine.postgres.facts import database_facts  # noqa: PLC0415 - as said above
    return database_facts(dsn, secret)


@contextmanager
def postgres_needed() -> Iterator[None]:
    """Inside the block something of ``engine.postgres`` is imported.

    Raises `ConfigurationError` when what that engine needs is not installed.
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
