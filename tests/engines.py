"""The engines that hosts in tests run on: the embedded one, and where a test asks for it PostgreSQL's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from aiohttp_jobs.engine.base import ApiKeyRecords

from .engine.postgres.support import SECRET

BOTH = pytest.mark.parametrize("engine", ["embedded", "postgres"], indirect=True)
"""Runs a test, or a module's, over both engines: what may differ, as each costs a second."""


@dataclass(frozen=True)
class HostEngine:
    """What hosts are given to run on an engine, and its API keys; ``None``: those of the data folder."""

    settings: dict[str, Any]
    keys: ApiKeyRecords | None


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[HostEngine]:
    """The embedded engine, unless a test is parametrised by another's name."""
    if getattr(request, "param", "embedded") == "embedded":
        yield HostEngine({}, None)
        return
    dsn = request.getfixturevalue("postgres")
    from aiohttp_jobs.engine.postgres.installation import opened_records  # noqa: PLC0415 - needs psycopg

    with opened_records(dsn, SECRET.encode()) as beside:
        yield HostEngine({"engine": "postgres", "dsn": dsn, "secret": SECRET}, beside.api_keys)
