"""What a job has left in the database: its result, those of its attempts, its submission, and that it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

pytest.importorskip("psycopg")

import psycopg

from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase
from aiohttp_jobs.engine.postgres.history import PostgresHistory
from aiohttp_jobs.engine.postgres.results import PostgresResults
from aiohttp_jobs.model.job import Submission, new_job_id

from ...contract.jobs import submission
from ...contract.results import result


@dataclass
class Kept:
    results: PostgresResults
    history: PostgresHistory


@pytest.fixture
async def kept(postgres: str) -> AsyncIterator[Kept]:
    database = AsyncDatabase(postgres)
    await database.open()
    results = PostgresResults(database, search_bytes=1000)
    await results.open()
    yield Kept(results, PostgresHistory(database, results, Submission.model_validate))
    await results.close()
    await database.close()


async def test_a_result_has_with_it_what_led_to_it(kept: Kept) -> None:
    submitted = submission()
    record = result(1, JobID=submitted.job_id, Attempt=3, Output="a\0b", ReturnValue={"rows": 7})
    earlier = [result(0, Attempt=attempt, Output=f"try {attempt}") for attempt in (1, 2)]
    await kept.results.keep(record, earlier_attempts=earlier, submission=submitted.to_record())
    assert await kept.history.get_result(submitted.job_id) == record
    assert await kept.history.attempts_of(record) == earlier
    assert await kept.history.submission_of(record) == submitted


async def test_of_a_job_that_never_was_there_is_nothing(kept: Kept) -> None:
    for job_id in (new_job_id(), "no id", ""):
        assert await kept.history.get_result(job_id) is None
        assert await kept.history.attempts_of({"JobID": job_id}) == []
        assert await kept.history.submission_of({"JobID": job_id}) is None
        assert not await kept.history.was_used(job_id)


async def test_an_id_stays_used_when_its_result_is_deleted(kept: Kept) -> None:
    record = result(1)
    await kept.results.keep(record)
    assert await kept.results.delete([record["JobID"]]) == 1
    assert await kept.history.get_result(record["JobID"]) is None
    assert await kept.history.was_used(record["JobID"])


async def test_no_job_has_two_results_not_even_when_the_first_is_deleted(kept: Kept) -> None:
    record = result(1)
    await kept.results.keep(record)
    for minute in (1, 2):
        with pytest.raises(psycopg.errors.UniqueViolation):
            await kept.results.keep(
                record | {"DateCompleted": result(minute)["DateCompleted"], "UserID": "bob"}
            )
        await kept.results.delete([record["JobID"]])
    assert await kept.results.kept_bytes("bob") == 0


async def test_results_are_listed_by_the_beginnings_of_ids_as_people_type_them(kept: Kept) -> None:
    records = [result(minute) for minute in range(3)]
    for record in records:
        await kept.results.keep(record)
    found = await kept.history.list_results("alice", 10, records[1]["JobID"][:13])
    assert [record["JobID"] for record in found] == [records[1]["JobID"]]
    assert len(await kept.history.list_results("alice", 2)) == 2


async def test_what_a_job_printed_beyond_its_result_counts_as_kept_until_that_is_deleted(
    kept: Kept, postgres: str
) -> None:
    plain, long = result(1), result(2)
    with psycopg.connect(postgres, autocommit=True) as connection:
        for start in range(3):
            query = "INSERT INTO aiohttp_jobs.output_chunks VALUES (%s, 1, %s, %s)"
            connection.execute(query, (long["JobID"], 1000 * start, b"x" * 1000))
    for record in (plain, long):
        await kept.results.keep(record)
    size = await kept.results.kept_bytes("alice")
    await kept.results.delete([long["JobID"]])
    assert size - 2 * await kept.results.kept_bytes("alice") == 3000
