"""What tests of the engine for PostgreSQL share: its connections. The server is in ``tests.postgres``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[AsyncDatabase]:
    from aiohttp_jobs.engine.postgres.async_database import (  # noqa: PLC0415 - it needs psycopg, which may be missing
        AsyncDatabase,
    )

    database = AsyncDatabase(postgres)
    await database.open()
    yield database
    await database.close()
