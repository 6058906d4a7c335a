"""The `jobs` fixture, for hosts that write ``pytest_plugins = ["aiohttp_jobs.testing.fixtures"]``.

Needs pytest, and what runs asynchronous tests with it: pytest-asyncio, pytest-aiohttp or anyio.
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


@_fixture  # type: ignore[untyped-decorator]
async def jobs() -> AsyncIterator[JobsOfTest]:
    """Runs functions as jobs for one test, without sockets, and waits for jobs."""
    opened = JobsOfTest()
    try:
        yield opened
    finally:
        await opened.close()
