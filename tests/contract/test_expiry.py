"""What every engine's `ResultRepository` promises of retention: what is too much goes, the oldest first."""

from __future__ import annotations

from datetime import timedelta

from aiohttp_jobs.model.job import format_utc, utc_now
from aiohttp_jobs.model.results import RetentionRules

from .results import KeptResults, OpenResults


async def test_the_newest_of_each_user_are_kept(results: KeptResults) -> None:
    mine = [await results.add(minute) for minute in range(10)]
    theirs = [await results.add(minute, UserID="bob") for minute in range(3)]
    assert await results.expire(count_per_user=4) == 6
    assert await results.ids() == mine[:5:-1]
    assert await results.ids(user_id="bob") == theirs[::-1]


async def test_the_newest_of_all_are_kept(results: KeptResults) -> None:
    ids = [await results.add(minute, UserID="ab"[minute % 2]) for minute in range(10)]
    assert await results.expire(count=4) == 6
    assert await results.ids(user_id=None) == ids[:5:-1]


async def test_as_many_as_it_takes_to_fit_go(results: KeptResults) -> None:
    ids = [await results.add(minute, Output="x" * 1000) for minute in range(10)]
    size = await results.repository.kept_bytes("alice") // 10
    assert await results.expire(bytes=size * 6 + 10) == 4
    assert await results.expire(bytes_per_user=size * 4) == 2
    assert await results.ids() == ids[:5:-1]


async def test_one_rule_does_not_delete_what_another_has_made_room_for(results: KeptResults) -> None:
    old = [await results.add(minute, UserID="bob") for minute in range(5)]
    new = [await results.add(minute + 10) for minute in range(10)]
    assert await results.expire(limit=100, count_per_user=5, count=10) == 5
    assert await results.ids(user_id="bob") == old[::-1]
    assert await results.ids() == new[:4:-1]


async def test_two_processes_never_delete_twice_as_many(open_results: OpenResults) -> None:
    one, other = await open_results(), await open_results()
    ids = [await one.add(minute) for minute in range(30)]
    await one.ids()
    rules = RetentionRules(count=10)
    for _ in range(10):
        await one.repository.delete_expired(rules, 3)
        await other.repository.delete_expired(rules, 3)
    assert await one.ids() == ids[:19:-1]


async def test_what_is_too_old_goes(results: KeptResults) -> None:
    now = utc_now()
    ids = [
        await results.add(DateCompleted=format_utc(now - timedelta(hours=hours)))
        for hours in (9, 8, 7, 6, 5, 2, 1, 0)
    ]
    assert await results.expire(age=3 * 3600) == 5
    assert await results.ids() == ids[:4:-1]
