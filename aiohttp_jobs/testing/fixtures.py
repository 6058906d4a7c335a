"""The `jobs` fixture, for hosts with ``pytest_plugins = ["aiohttp_jobs.testing.fixtures"]``.

Needs pytest, and a plugin that runs asynchronous tests: pytest-asyncio, pytest-aiohttp or anyio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from . import JobsOfTest

try:
    import pytest_asyncio
except ImportError:  # anyio runs pytest's own
    _fixture: Any = pytest.fixture
else:
    _fixture = pytest_asyncio.fixture


@_fixture  # type: ignore[untyped-decorator]  # either plugin's
async def jobs() -> AsyncIterator[JobsOfTest]:
    """Runs functions as jobs in one test, without sockets."""
    opened = JobsOfTest()
    try:
        yield opened
    finally:
        await opened.close()
