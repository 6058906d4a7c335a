"""What the index of words, status and mode finds along the order of completion, a period after the other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("psycopg")

from aiohttp_jobs.engine.postgres import results_search
from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase
from aiohttp_jobs.engine.postgres.months import Months, month_of
from aiohttp_jobs.engine.postgres.results_search import ResultSearch
from aiohttp_jobs.engine.searching import first_id, microseconds
from aiohttp_jobs.model.job import utc_now
from aiohttp_jobs.model.results import ResultFilter, Sort
from aiohttp_jobs.model.search import parse_search

DAYS = (0, 1, 2, 9, 40, 41, 200, 900, 2000)
"""How many days ago results with the word ``rare`` were completed."""
LIMIT = 4

# Of each day more than is walked over, of which one has the word, and half have another.
_FILL = """
INSERT INTO aiohttp_jobs.results
SELECT %(id)s - n * 1024, gen_random_uuid(), 'alice', 'job',
    CASE n WHEN 99 THEN 'Interrupted' ELSE 'Succeeded' END,
    CASE n WHEN 99 THEN 'MainLoop' ELSE 'Runspace' END, n <> 99, n, n, 100, '{"JobID": ""}', '{}', NULL, NULL,
    array_to_tsvector(ARRAY[chr(31) || 'alice', 'common'] || CASE n WHEN 99 THEN '{rare}'::text[] END
        || CASE n %% 2 WHEN 0 THEN '{even}'::text[] END)
FROM generate_series(1, 300) n RETURNING id
"""


@pytest.fixture
async def wanted_ids(database: AsyncDatabase) -> list[int]:
    """Results of many years; the ids of those with the word, the newest first."""
    ids = [first_id(microseconds(utc_now() - timedelta(days=days, seconds=1))) for days in DAYS]
    await Months(database).make(*map(month_of, ids), *(month_of(each - 1024 * 300) for each in ids))
    for each in ids:
        await database.rows(_FILL, {"id": each})
    return [each - 99 * 1024 for each in ids]


async def found(database: AsyncDatabase, wanted: ResultFilter, sort: Sort) -> list[int]:
    batches = ResultSearch(database, wanted, sort, long=False).batches(None, LIMIT)
    return [int(row.key[-1]) async for batch in batches for row in batch.rows]


FILTERS: list[dict[str, Any]] = [
    {"terms": parse_search("rare")},
    {"terms": parse_search("rare common"), "success": False},
    {"terms": parse_search("rare"), "statuses": ("Interrupted",)},
    {"terms": parse_search("common"), "statuses": ("Interrupted", "Failed"), "modes": ("MainLoop",)},
    {"terms": parse_search("rare"), "name": "jo", "name_is_prefix": True},
    {"terms": parse_search("rare"), "name": "job"},
    {"statuses": ("Interrupted",)},
    {"modes": ("MainLoop",)},
    {"statuses": ("Interrupted",), "modes": ("MainLoop",)},
]
NOTHING: list[dict[str, Any]] = [
    {"terms": parse_search("rare"), "success": True},
    {"terms": parse_search("rare even")},
    {"terms": parse_search("rare even"), "modes": ("MainLoop",)},
    {"terms": parse_search("rare"), "statuses": ("Interrupted",), "success": True},
    {"terms": parse_search("rare"), "name": "jo"},
    {"statuses": ("Interrupted",), "modes": ("Runspace",)},
]


async def test_all_that_is_wanted_is_found_in_order_however_long_a_period_takes(
    database: AsyncDatabase, wanted_ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for user_id in ("alice", None):
        if user_id is None:  # it is answered after each period, and asked for the others
            monkeypatch.setattr(results_search, "_INDEX_SECONDS", -1.0)
        for given in FILTERS:
            wanted = ResultFilter(user_id, **given)
            assert await found(database, wanted, Sort.COMPLETED_DOWN) == wanted_ids, wanted
            assert await found(database, wanted, Sort.COMPLETED) == wanted_ids[::-1], wanted
            recent = ResultFilter(user_id, since=utc_now() - timedelta(days=100), **given)
            assert await found(database, recent, Sort.COMPLETED_DOWN) == wanted_ids[:6], wanted
            assert await found(database, recent, Sort.COMPLETED) == wanted_ids[:6][::-1], wanted
        for given in NOTHING:
            assert not await found(database, ResultFilter(user_id, **given), Sort.COMPLETED_DOWN), given
    assert not await found(database, ResultFilter("bob", **FILTERS[0]), Sort.COMPLETED_DOWN)
