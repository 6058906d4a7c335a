"""Retention: what is too much goes, the oldest first, and never more than that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.model.job import format_utc, utc_now
from aiohttp_jobs.model.results import RetentionRules
from aiohttp_jobs.services.retention import Retention
from aiohttp_jobs.system.storage_state import StorageState
from tests.conftest import RESULT_SECONDS

from ..engine.embedded.support import Results, opened


@pytest.fixture
async def results(tmp_path: Path) -> AsyncIterator[Results]:
    async with opened(tmp_path) as results:
        yield results


async def test_by_default_all_is_kept(results: Results) -> None:
    results.add(-(10**7))
    assert RetentionRules().keeps_all
    assert await results.expire() == 0


async def test_what_is_too_old_goes(results: Results) -> None:
    now = utc_now()
    ids = [
        results.add(DateCompleted=format_utc(now - timedelta(hours=hours)))
        for hours in (9, 8, 7, 6, 5, 2, 1, 0)
    ]
    assert await results.expire(age=3 * 3600) == 5
    assert await results.ids() == ids[:4:-1]
    assert not results.at.result(ids[0]).exists()


async def test_outputs_kept_beside_results_count(results: Results) -> None:
    record: dict[str, Any] = {"OutputTruncated": True}
    first = results.add(1, **record)
    log = results.at.output / f"s1_test_{first}.log"
    log.mkdir()
    (log / "output.000000000").write_bytes(b"x" * 100_000)
    second = results.add(2)
    assert await results.expire(bytes=50_000) == 1
    assert await results.ids() == [second]
    assert not log.exists()


async def test_what_was_deleted_by_hand_does_not_count(
    results: Results, make_config: Callable[..., JobsConfig]
) -> None:
    ids = [results.add(minute) for minute in range(10)]
    await results.ids()
    for job_id in ids[5:]:
        results.at.result(job_id).unlink()
    retention = Retention(make_config(retention_count=5), results.catalogue, StorageState(results.at.base))
    assert await retention.apply() == 0
    assert await results.ids() == ids[4::-1]


async def test_a_half_done_deletion_is_completed(
    results: Results, make_config: Callable[..., JobsConfig]
) -> None:
    """As a crash leaves it: the id is spent and the submission gone, the result is there."""
    ids = [results.add(minute) for minute in range(5)]
    results.at.deleted_ids.write_text(f"{ids[0]}\n")
    retention = Retention(make_config(retention_count=3), results.catalogue, StorageState(results.at.base))
    assert await retention.apply() == 2
    assert await results.ids() == ids[:1:-1]


async def test_a_host_applies_its_settings(start_host: Callable[..., Any]) -> None:
    host = await start_host(retention_count_per_user=2, retention_interval=0.1)
    alice = host.caller("task_manager")
    for _ in range(4):
        await alice.run("true")
    async with asyncio.timeout(RESULT_SECONDS):
        while len(await alice.results()) != 2:
            await asyncio.sleep(0.02)
    assert len(list((host.base_dir / "JobOutput").glob("*.json"))) == 2
