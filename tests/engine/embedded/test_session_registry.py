"""Open sessions in files: when each was last used."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from aiohttp_jobs.engine.embedded.session_registry import SessionRegistry
from aiohttp_jobs.model.job import utc_now


@pytest.mark.parametrize("ahead", [-3600, 3600], ids=["behind", "ahead"])
async def test_a_use_is_noted_by_this_machines_clock_where_the_file_systems_is_another(
    tmp_path: Path, ahead: float
) -> None:
    registry = SessionRegistry(tmp_path, 7200, 9)
    session, secret = registry.add("alice")
    (path,) = tmp_path.glob("Sessions/*/*.json")
    os.utime(path, (time.time() + ahead,) * 2)
    assert await registry.find("alice", session.session_id, secret) == session
    (found,) = registry.all()
    assert abs(found.last_used_at - utc_now()) < timedelta(minutes=5)
