"""The verdict of a job: one statement ends it and keeps its result and notices, for who has the job alone."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

import psycopg

from aiohttp_jobs.engine.base import Limits
from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase
from aiohttp_jobs.engine.postgres.each_job import EachJob
from aiohttp_jobs.engine.postgres.installation import PostgresInstallation
from aiohttp_jobs.engine.postgres.jobs import Claim, JobTable, StaleClaimError
from aiohttp_jobs.engine.postgres.output_chunks import OutputChunks
from aiohttp_jobs.engine.postgres.results import PostgresResults
from aiohttp_jobs.engine.postgres.telling import ToldResults
from aiohttp_jobs.engine.postgres.verdicts import Verdicts
from aiohttp_jobs.engine.searching import first_id, microseconds
from aiohttp_jobs.model.job import ExecutionMode, JobResult, JobStatus, utc_now
from aiohttp_jobs.model.notice import Notice, NoticeState
from aiohttp_jobs.model.notice_events import Event
from aiohttp_jobs.model.output import OutputPart
from aiohttp_jobs.model.results import ResultFilter, Sort

from ...contract.jobs import MOST, submission
from ...notify.support import email
from ...postgres import PostgresServer
from .support import installation

BACKGROUND = ExecutionMode.BACKGROUND_JOB
NOW = utc_now()
FILL = """
INSERT INTO aiohttp_jobs.results
SELECT n, gen_random_uuid(), 'bob', '', '', '', true, 0, 0, 0, '{}', '{}', NULL, NULL, ''
FROM generate_series(%s::bigint, %s) n ON CONFLICT DO NOTHING
"""
# Users who wait in lines, behind who has had no turn yet; and results, with all that is kept of their jobs.
MANY_WAIT = """
INSERT INTO aiohttp_jobs.jobs
    (job_id, state, user_id, job_name, slot, priority, size, attempt, queued_at, submission)
SELECT gen_random_uuid(), 'queued', 'user' || n, 'x', 'BackgroundJob', 5, 9, 1, clock_timestamp(), '{}'
FROM generate_series(1, 3000) n;
UPDATE aiohttp_jobs.lines SET turn = 1;
INSERT INTO aiohttp_jobs.user_turns SELECT priority, user_id, turn FROM aiohttp_jobs.lines;
"""
MANY_ENDED = """
INSERT INTO aiohttp_jobs.ended_jobs SELECT job_id, id FROM aiohttp_jobs.results;
INSERT INTO aiohttp_jobs.output_chunks SELECT job_id, 1, 0, '' FROM aiohttp_jobs.results;
INSERT INTO aiohttp_jobs.attempts SELECT job_id, 1, '{}' FROM aiohttp_jobs.results;
INSERT INTO aiohttp_jobs.kept_amounts SELECT 'user' || n, n, 1, 1 FROM generate_series(1, 3000) n;
"""


@dataclass
class Kept:
    shared: PostgresInstallation
    table: JobTable
    verdicts: Verdicts
    results: PostgresResults
    chunks: OutputChunks

    def claim(self, **fields: Any) -> Claim:
        self.table.submit(submission(**fields), MOST, only_here=False)
        return self.table.ask(self.table.to_claim({BACKGROUND: 1}, Limits({}), 600.0, uuid.uuid4())).claims[0]

    async def give(self, claim: Claim, *earlier: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return await self.verdicts.give(claim, result_of(claim, **fields), earlier, lets_start=False)

    async def give_with_notice(self, claim: Claim, **fields: Any) -> Notice:
        result = result_of(claim, **fields)
        notice = Notice.about(result, 0, email("ops@example.org"), Event.SUCCESS)
        await self.verdicts.give(claim, result, (), [notice], lets_start=False)
        return notice

    async def listed(self) -> int:
        page = await self.results.page(ResultFilter("alice"), Sort.COMPLETED_DOWN, None, 100)
        return len(page.records)


def result_of(claim: Claim, **fields: Any) -> JobResult:
    assert claim.submission is not None
    same = ("job_id", "user_id", "session_id", "job_name", "command", "execution_mode", "attempt")
    given = {
        **{name: getattr(claim.submission, name) for name in same},
        "description": "",
        "date_started": NOW,
        "date_completed": NOW,
        "runtime": 0.0,
        "output": "",
        "success": True,
        "status": JobStatus.SUCCEEDED,
        **fields,
    }
    return JobResult.model_validate(given)


@asynccontextmanager
async def keeping(postgres: str) -> AsyncIterator[Kept]:
    shared, database = installation(postgres), AsyncDatabase(postgres)
    shared.open()
    await database.open()
    results = PostgresResults(database, search_bytes=1000)
    await results.open()
    me = shared.presence.process_id
    table = JobTable(shared.database, me, shared.signer("submission"), 5.0, ["interpreter shell"])
    each_job = EachJob(postgres)
    await each_job.open()
    verdicts = Verdicts(table, each_job, results, ToldResults(shared.signer("told result")))
    yield Kept(shared, table, verdicts, results, OutputChunks(shared.database, me, 1 << 20))
    await each_job.close()
    await results.close()
    await database.close()
    shared.close()


@pytest.fixture
async def kept(postgres: str) -> AsyncIterator[Kept]:
    async with keeping(postgres) as kept:
        yield kept


async def test_jobs_that_ended_at_one_moment_are_all_kept(kept: Kept, postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        first = first_id(microseconds(NOW))
        await kept.give(kept.claim())
        connection.execute(FILL, (first, first + 1020))
        for claim in [kept.claim() for _ in range(5)]:
            await kept.give(claim)
        # All places of that microsecond are taken before any other is.
        within = "SELECT count(*) FROM aiohttp_jobs.results WHERE id BETWEEN %s AND %s"
        assert connection.execute(within, (first, first + 1023)).fetchone() == (1024,)
    assert await kept.listed() == 6


async def test_it_is_given_once_and_by_who_has_the_job(kept: Kept) -> None:
    claim = kept.claim()
    another_process = Claim(claim.job_id, claim.fence, claim.submission, None, holder=str(uuid.uuid4()))
    for other in (another_process, Claim(claim.job_id, claim.fence + 1, claim.submission, None)):
        with pytest.raises(StaleClaimError):
            await kept.give(other)
    assert kept.table.get(claim.job_id) is not None
    await kept.give(claim)
    with pytest.raises(StaleClaimError):
        await kept.give(claim)
    assert kept.table.get(claim.job_id) is None
    assert await kept.listed() == 1


async def test_a_result_from_a_month_that_nobody_has_made_is_kept(kept: Kept) -> None:
    await kept.give(kept.claim(), date_completed="2020-02-29T12:00:00Z")
    assert await kept.listed() == 1


async def test_what_was_copied_goes_unless_the_result_has_no_room_for_it_and_counts_then(kept: Kept) -> None:
    claim = kept.claim()
    kept.chunks.put(claim, 1, OutputPart(0, b"x" * 10_000))
    await kept.give(claim)
    assert kept.chunks.spans(claim.job_id, 1) == []
    assert 0 < (before := await kept.results.kept_bytes("alice")) < 10_000
    claim = kept.claim()
    kept.chunks.put(claim, 1, OutputPart(0, b"x" * 10_000))
    await kept.give(claim, output_truncated=True, output_size=10_000)
    assert len(kept.chunks.spans(claim.job_id, 1)) == 1
    assert await kept.results.kept_bytes("alice") >= 2 * before + 10_000 - 100


async def test_earlier_attempts_are_with_the_result_afterwards(kept: Kept, postgres: str) -> None:
    claim = kept.claim(retry={"count": 1})
    assert claim.submission is not None
    following = claim.submission.model_copy(update={"attempt": 2, "run_at": NOW})
    kept.table.again(claim, result_of(claim), following)
    (claim,) = kept.table.ask(kept.table.to_claim({BACKGROUND: 1}, Limits({}), 600.0, uuid.uuid4())).claims
    earlier = kept.table.attempts(claim.job_id)
    record = await kept.give(claim, *earlier)
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT count(*) FROM aiohttp_jobs.attempts").fetchone() == (0,)
        found = connection.execute("SELECT earlier_attempts FROM aiohttp_jobs.results").fetchone()
    assert found == (earlier,)
    assert record["Attempt"] == 2


async def test_its_notices_are_due_with_it_and_only_with_it(kept: Kept) -> None:
    notices, claim = kept.shared.notices, kept.claim()
    with pytest.raises(StaleClaimError):
        await kept.give_with_notice(Claim(claim.job_id, claim.fence + 1, claim.submission, None))
    assert notices.all() == []
    printed = "\0 \ud800 \N{PILE OF POO}"  # of which PostgreSQL takes the last alone as it is
    given = await kept.give_with_notice(claim, output=printed)
    (due,) = notices.all()
    assert (due.notice_id, due.state) == (given.notice_id, NoticeState.PENDING)
    assert notices.get(due.notice_id).job == given.job
    assert notices.prepared(0) == []


async def test_a_notice_that_was_sent_is_not_due_again(kept: Kept) -> None:
    # By whoever gave the same verdict before, in an older release that stored it separately.
    notices, claim = kept.shared.notices, kept.claim()
    sent = Notice.about(result_of(claim), 0, email("ops@example.org"), Event.SUCCESS)
    notices.add(sent.model_copy(update={"state": NoticeState.SENT}))
    await kept.give_with_notice(claim)
    assert [each.state for each in notices.all()] == [NoticeState.SENT]


async def test_while_notices_are_held_it_is_not_given_and_can_be_given_afterwards(
    kept: Kept, postgres: str
) -> None:
    claim = kept.claim()
    with psycopg.connect(postgres) as connection:
        connection.execute("SELECT FROM aiohttp_jobs.record_kinds WHERE kind = 'notice' FOR UPDATE")
        with pytest.raises(OSError, match="cannot be reached"):
            await kept.give_with_notice(claim)
    assert kept.table.get(claim.job_id) is not None
    await kept.give_with_notice(claim)
    assert len(kept.shared.notices.all()) == 1


async def test_a_verdict_and_a_claim_before_it_read_no_table_and_no_line_to_its_end(
    postgres: str, postgres_server: PostgresServer
) -> None:
    if not postgres_server.has_library("auto_explain"):
        pytest.skip("this PostgreSQL has no auto_explain")
    first = first_id(microseconds(NOW))
    async with keeping(postgres):
        pass  # which makes the month
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(MANY_WAIT)
        connection.execute(FILL, (first, first + 3000))
        connection.execute(MANY_ENDED)
    postgres_server.set_for(
        postgres,
        session_preload_libraries="auto_explain",
        auto_explain__log_min_duration="0",
        auto_explain__log_nested_statements="on",
        auto_explain__log_analyze="on",
    )
    async with keeping(postgres) as kept:
        for is_analysed in (False, True):
            if is_analysed:
                with psycopg.connect(postgres, autocommit=True) as connection:
                    connection.execute("VACUUM ANALYZE")
            before = len(postgres_server.log())
            claim = kept.claim(priority=5, user_id=f"alice {is_analysed}")
            kept.chunks.put(claim, 1, OutputPart(0, b"x"))
            await kept.give(claim)
            said = postgres_server.log()[before:]
            assert "verdict_1" in said
            assert not re.findall(r"Seq Scan on (?!installation|processes|record_kinds)\w+", said)
            lines = re.findall(r"using lines_in_turn on lines l.*?actual time=\S+ rows=(\d+)", said)
            assert lines
            assert max(map(int, lines)) < 100
