"""The jobs that have not ended, as rows: accepted, claimed, ended. All calls that ask block.

Running them is left to ``dispatcher``, what is told of them to ``job_queue``, and asking the `Statement` that
each job waits for, from the event loop, to ``each_job``.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, LiteralString, NamedTuple, TypeVar

from pydantic import ValidationError

from ...model.job import JobPhase, JobResult, JobStatus, Submission, is_shared_key
from ...model.progress import Progress
from ...system.signing import Signer
from ..base import JobQuery, JobState, Limits, MostWaiting, StopReason, slot_of
from ..running.states import submitted_state
from .database import Database, Row, Values
from .migrations import Connection
from .offers import Offer, function_names, needs_of, waiting_for
from .queue_order import QueueOrder, UsersLine
from .records import is_id
from .telling import CHANNEL, Teller

T = TypeVar("T")
_SUBMIT = """
CALL aiohttp_jobs.submit_and_tell_1(
    %(job_id)s, %(user_id)s, %(job_name)s, %(slot)s, %(priority)s, %(run_at)s, %(lock)s, %(size)s, %(needs)s,
    %(host)s, %(attempt)s, %(record)s::json, %(most_jobs)s, %(most_bytes)s, %(channel)s, %(said)s,
    NULL, NULL, NULL)
"""
_CLAIM = """
SELECT * FROM aiohttp_jobs.claim_4(
    %(me)s::uuid, %(claim)s, %(free)s::jsonb, %(offers)s, %(per_user)s, %(overall)s, %(starvation)s,
    %(stall)s, %(known_rights)s)
"""
# What a claim has got whose answer was lost.
_CLAIMED = """
SELECT job_id, fence, submission, lock_name FROM aiohttp_jobs.jobs WHERE process_id = %s AND claim_id = %s
"""
_LIVING = """
SELECT places, offers FROM aiohttp_jobs.processes
WHERE heard_at > clock_timestamp() - %s * interval '1 s' AND NOT is_draining
"""
_OTHERS_OFFERS = """
SELECT offers FROM aiohttp_jobs.processes
WHERE process_id <> %s::uuid AND heard_at > clock_timestamp() - %s * interval '1 s'
"""
_NEEDS = "SELECT job_id::text, slot, needs FROM aiohttp_jobs.jobs WHERE job_id = ANY (%s::uuid[])"
# The job is nobody's else's to run then, and needs no key for not running.
_CLAIM_TO_CANCEL = """
UPDATE aiohttp_jobs.jobs
SET state = 'running', process_id = %(me)s, fence = fence + 1, lock_name = NULL,
    started_at = clock_timestamp(), cancelled_by = %(by)s, cancel_message = %(message)s
WHERE job_id = %(job_id)s AND state <> 'running'
RETURNING job_id, fence, submission, lock_name
"""
_ASK_TO_CANCEL = """
UPDATE aiohttp_jobs.jobs SET cancelled_by = %(by)s, cancel_message = %(message)s
WHERE job_id = %(job_id)s AND state = 'running' AND cancel_message IS NULL
RETURNING process_id = %(me)s, pg_notify(%(channel)s, %(me)s || ' cancel ' || job_id)
"""
_HELD = """
SELECT job_id, claim_id, cancelled_by, cancel_message FROM aiohttp_jobs.jobs
WHERE state = 'running' AND process_id = %s
"""
_HELD_ONE = """
SELECT job_id, fence, submission, lock_name, started_at, clock_timestamp(), process_id FROM aiohttp_jobs.jobs
WHERE state = 'running' AND process_id = %s AND job_id = %s
"""
# Whether one lives is asked once of each process that has jobs, from one to the next along the index, and not
# of each job: every process asks this every few seconds.
_TAKE_LOST = """
WITH RECURSIVE holders AS (
    (SELECT process_id FROM aiohttp_jobs.jobs WHERE state = 'running' ORDER BY process_id LIMIT 1)
    UNION ALL
    SELECT (SELECT process_id FROM aiohttp_jobs.jobs
            WHERE state = 'running' AND process_id > holders.process_id ORDER BY process_id LIMIT 1)
    FROM holders WHERE process_id IS NOT NULL
), dead AS MATERIALIZED (
    SELECT process_id FROM holders
    WHERE process_id <> %(me)s AND NOT aiohttp_jobs.is_alive_1(process_id, %(stall)s)
)
UPDATE aiohttp_jobs.jobs AS j SET process_id = %(me)s, claim_id = NULL, fence = fence + 1
FROM (
    SELECT held.job_id, held.process_id FROM dead CROSS JOIN LATERAL (
        SELECT q.job_id, q.process_id FROM aiohttp_jobs.jobs q
        WHERE q.state = 'running' AND q.process_id = dead.process_id
        FOR UPDATE SKIP LOCKED
    ) AS held LIMIT 100
) AS lost WHERE j.job_id = lost.job_id
RETURNING j.job_id, j.fence, j.submission, j.lock_name, j.started_at, clock_timestamp(), lost.process_id
"""
IS_MINE = "job_id = %(job_id)s AND fence = %(fence)s AND process_id = %(me)s AND state = 'running'"
END = "DELETE FROM aiohttp_jobs.jobs WHERE " + IS_MINE  # noqa: S608 - of constants
"""Deletes the row of a job, if this process still has it. Its values: `JobTable.mine`."""
DROP_OUTPUT = "DELETE FROM aiohttp_jobs.output_chunks WHERE job_id = %s AND attempt = %s"
"""Deletes the copied output of an attempt whose result has all of it."""
_AGAIN = (
    """
UPDATE aiohttp_jobs.jobs SET state = 'pending', attempt = %(attempt)s, run_at = %(run_at)s, queued_at = NULL,
    submission = %(record)s::json, process_id = NULL, claim_id = NULL, started_at = NULL, pid = NULL,
    output_size = 0, progress = NULL
WHERE """
    + IS_MINE
)
_GIVE_BACK = (
    """
UPDATE aiohttp_jobs.jobs SET state = 'queued', process_id = NULL, claim_id = NULL, started_at = NULL
WHERE """
    + IS_MINE
)
_COLUMNS = """
SELECT job_id, state, run_at > clock_timestamp(), started_at,
    extract(epoch FROM clock_timestamp() - started_at), pid, output_size, progress,
    cancel_message IS NOT NULL, submission
"""
_OF_WHOM = """
    AND (%(user)s::text IS NULL OR user_id = %(user)s) AND job_id BETWEEN %(first)s AND %(last)s
"""
_RUNNING = f"""
{_COLUMNS} FROM aiohttp_jobs.jobs WHERE state = 'running' {_OF_WHOM} ORDER BY started_at LIMIT %(limit)s
"""
_BY_TIME = _OF_WHOM + "ORDER BY run_at, place LIMIT %(limit)s"
_PENDING = f"{_COLUMNS} FROM aiohttp_jobs.jobs WHERE state = 'pending' AND run_at > now() {_BY_TIME}"
# Those that are due and not lined up yet come with the next claim.
_DUE = f"{_COLUMNS} FROM aiohttp_jobs.jobs WHERE state = 'pending' AND run_at <= now() {_BY_TIME}"
_GET = _COLUMNS + " FROM aiohttp_jobs.jobs WHERE job_id = %s"
# Read of an index alone.
_LINES = """
SELECT l.priority, l.user_id, l.number, coalesce(t.turn, 0), l.head FROM (
    SELECT priority, user_id, count(*) AS number, min(place) AS head
    FROM aiohttp_jobs.jobs WHERE state = 'queued' GROUP BY priority, user_id
) AS l LEFT JOIN aiohttp_jobs.user_turns t ON t.priority = l.priority AND t.user_id = l.user_id
"""
_FIRST_OF_LINES = f"""
{_COLUMNS}, priority, user_id, nth FROM (
    SELECT j.*, row_number() OVER (PARTITION BY j.priority, j.user_id ORDER BY j.place) AS nth
    FROM unnest(%(priorities)s::smallint[], %(users)s::text[], %(numbers)s::bigint[]) AS w (level, whose, n)
    CROSS JOIN LATERAL (
        SELECT * FROM aiohttp_jobs.jobs q
        WHERE q.state = 'queued' AND q.priority = w.level AND q.user_id = w.whose
        ORDER BY q.place LIMIT w.n
    ) AS j
) AS j
"""  # noqa: S608 - of constants
_BY_ID = f"""
{_COLUMNS}, priority, user_id, (
    SELECT count(*) FROM aiohttp_jobs.jobs q
    WHERE q.state = 'queued' AND q.priority = j.priority AND q.user_id = j.user_id AND q.place <= j.place
) FROM aiohttp_jobs.jobs j WHERE state = 'queued' {_OF_WHOM} LIMIT %(limit)s
"""  # noqa: S608 - of constants
# Each is read of an index alone.
_SUMMARY = """
SELECT (SELECT is_paused FROM aiohttp_jobs.installation),
    (SELECT count(*) FROM aiohttp_jobs.jobs WHERE state = 'queued')
    + (SELECT count(*) FROM aiohttp_jobs.jobs WHERE state = 'pending' AND run_at <= now()),
    (SELECT count(*) FROM aiohttp_jobs.jobs WHERE state = 'pending' AND run_at > now()),
    (SELECT count(*) FROM aiohttp_jobs.jobs WHERE state = 'running')
"""
_FORGET_TURNS = """
DELETE FROM aiohttp_jobs.user_turns WHERE turn <= (SELECT last_value FROM aiohttp_jobs.turns) - %s
"""
_KEPT_TURNS = 10_000
_LONG_QUEUE = 5_000
_COUNT_SECONDS = 1.0


class StaleClaimError(Exception):
    """The claim's fence is no longer the job's: the job has ended, or another process has claimed it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this process has. It can write nothing about it once the job's row has another `fence`."""

    job_id: str
    fence: int
    submission: Submission | None
    lock: str | None
    problem: str | None = None
    holder: str | None = None
    """The id of the process that has it, if that is not this one but an earlier one on its data folder."""


class Claimed(NamedTuple):
    """The answer to a claim.

    `next_due`: seconds until the next job becomes due, ``None`` if there is none. `keys_number`: how often
    API keys have been changed. `rights_mark`: a hash of the hosts' tables of roles, and `new_rights`: those
    tables, if the hash is not the one that was passed.
    """

    claims: list[Claim]
    next_due: float | None
    keys_number: int
    rights_mark: int | None
    new_rights: Any


@dataclass(frozen=True, slots=True)
class LostClaim:
    """A job of a dead process, taken over by this one to end it. Both times are by the database's clock."""

    claim: Claim
    process_id: str
    started_at: datetime
    noticed_at: datetime


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that a process has: to run it if there is a `claim_id`, otherwise only to end it.

    `reason` is set if somebody asked to stop it.
    """

    job_id: str
    claim_id: uuid.UUID | None
    reason: StopReason | None


@dataclass(frozen=True, slots=True)
class Statement(Generic[T]):
    """What is asked of the database in a thread or in the event loop, and the `answer` that its rows are."""

    query: LiteralString
    values: Values
    answer: Callable[[Sequence[Row]], T]


class JobTable:
    """The table of jobs, for the process with the id `me`. Submissions are signed by `signer`.

    `offers` lists all that a job may need in order to be claimed by this process (see ``offers``).
    """

    def __init__(
        self, database: Database, me: str, signer: Signer, stall_seconds: float, offers: Sequence[str] = ()
    ) -> None:
        self.database = database
        self.teller = Teller(database, me)
        self._me = me
        self._signer = signer
        self._stall = stall_seconds
        self._order = float("-inf"), QueueOrder.of(())
        self._offers = frozenset(offers)
        self.in_thread = database.in_thread

    def ask(self, statement: Statement[T]) -> T:
        """The answer to a statement."""
        return statement.answer(self.database.rows(statement.query, statement.values))

    # --- accepting

    def submit(self, submission: Submission, most: MostWaiting, *, only_here: bool) -> None:
        """Accept a job, as `to_submit` says. Raises `TooManyPendingError`."""
        self.ask(self.to_submit(submission, most, only_here=only_here))

    def to_submit(self, submission: Submission, most: MostWaiting, *, only_here: bool) -> Statement[None]:
        """Accepts a job, and does nothing if its id is known already. Raises `TooManyPendingError`."""
        values = {
            **self._columns(submission),
            "size": len(submission.command.encode()),
            "host": self._me if only_here else None,
            "most_jobs": most.jobs,
            "most_bytes": most.size,
            "channel": CHANNEL,
        }
        values["said"] = f"{self._me} job {submission.job_id} {values['slot']}"
        return Statement(_SUBMIT, values, partial(_require_accepted, most, values["size"]))

    def current_submission(self, job_id: str) -> Submission | None:
        """The submission of a job that has not ended; ``None`` if there is no such job."""
        query = "SELECT submission FROM aiohttp_jobs.jobs WHERE job_id = %s"
        row = self.database.row(query, (job_id,)) if is_id(job_id) else None
        return None if row is None else self.believed(row[0])

    def believed(self, record: Any) -> Submission | None:
        """Parse a stored submission; ``None`` if its signature is not valid."""
        is_ours = isinstance(record, dict) and self._signer.is_valid(record)
        return _read(record) if is_ours else None

    def signed(self, submission: Submission) -> dict[str, Any]:
        """The record of a submission as it is stored, with its signature."""
        return self._signer.sign(submission.to_record())

    def _columns(self, submission: Submission) -> dict[str, Any]:
        slot = slot_of(submission.execution_mode, submission.function)
        return {
            "job_id": submission.job_id,
            "user_id": submission.user_id,
            "job_name": submission.job_name,
            "slot": str(slot),
            "priority": submission.priority,
            "run_at": submission.run_at,
            "lock": _lock_of(submission),
            "needs": needs_of(submission),
            "attempt": submission.attempt,
            "record": json.dumps(self.signed(submission), ensure_ascii=False),
        }

    # --- claiming

    def to_claim(
        self,
        free: Mapping[str, int],
        limits: Limits,
        starvation: float,
        claim_id: uuid.UUID,
        known_rights: int | None = None,
    ) -> Statement[Claimed]:
        """Claims the next jobs, at most as many of each slot as `free` says.

        If the answer is lost, `claimed_before` returns what was claimed. A notification about each job is
        noted in `teller`, for the caller to send.
        """
        values = {
            "me": self._me,
            "claim": claim_id,
            "free": json.dumps(free),
            "offers": list(self._offers),
            "per_user": limits.per_user,
            "overall": limits.overall,
            "starvation": starvation,
            "stall": self._stall,
            "known_rights": known_rights,
        }
        return Statement(_CLAIM, values, self._answer_to_claim)

    def _answer_to_claim(self, rows: Sequence[Row]) -> Claimed:
        *taken, last = rows
        claims = [self.offered(self._claimed(*row[:4])) for row in taken]
        for claim in claims:
            self.teller.note("progress", claim.job_id)
        return Claimed(claims, *last[4:])

    def claimed_before(self, claim_id: uuid.UUID) -> list[Claim]:
        """What was claimed with this id, in case the answer was lost."""
        rows = self.database.rows(_CLAIMED, (self._me, claim_id))
        return [self.offered(self._claimed(*row)) for row in rows]

    def give_back(self, claim: Claim) -> None:
        """Return a claimed job that was not started to the queue, where it has its old place."""
        with self.database.transaction() as connection:
            if connection.execute(_GIVE_BACK, self.mine(claim)).rowcount:
                notify(connection, f"{self._me} job {claim.job_id}")

    def claim_to_cancel(self, job_id: str, reason: StopReason) -> Claim | None:
        """Take a waiting job in order to end it as cancelled; ``None`` if it does not wait."""
        row = self.database.row(_CLAIM_TO_CANCEL, self._cancelling(job_id, reason)) if is_id(job_id) else None
        return None if row is None else self._claimed(*row)

    def ask_to_cancel(self, job_id: str, reason: StopReason) -> bool:
        """Ask the process that runs a job to stop it; returns whether this is that process.

        Does nothing if the job does not run.
        """
        rows = self.database.rows(_ASK_TO_CANCEL, self._cancelling(job_id, reason)) if is_id(job_id) else []
        return any(is_mine for is_mine, _ in rows)

    def to_see_held(self) -> Statement[list[HeldJob]]:
        """Finds all jobs that this process has."""
        return Statement(_HELD, (self._me,), _held_jobs)

    def held_one(self, job_id: str) -> LostClaim | None:
        """One of them, in the form of a job that was taken over; ``None`` if it is not this process's."""
        rows = self.database.rows(_HELD_ONE, (self._me, job_id))
        return next(map(self._lost, rows), None)

    def to_take_lost(self) -> Statement[list[LostClaim]]:
        """Takes over jobs of processes that died, at most 100, for this one to end them."""
        values = {"me": self._me, "stall": self._stall}
        return Statement(_TAKE_LOST, values, lambda rows: list(map(self._lost, rows)))

    def _lost(self, row: Sequence[Any]) -> LostClaim:
        times = (row[4].astimezone(UTC), row[5].astimezone(UTC))
        return LostClaim(self._claimed(*row[:4]), str(row[6]), *times)

    def _cancelling(self, job_id: str, reason: StopReason) -> dict[str, Any]:
        return {
            "me": self._me,
            "job_id": job_id,
            "by": reason.by,
            "message": reason.message,
            "channel": CHANNEL,
        }

    def offered(self, claim: Claim) -> Claim:
        """`claim`, with a problem if its submission needs more than its row says, which is not signed."""
        if claim.problem is not None or claim.submission is None:
            return claim
        if self._offers.issuperset(needs_of(claim.submission)):
            return claim
        return replace(
            claim, problem="What this job needs was changed in the server's database; it was not run."
        )

    def _claimed(self, job_id: Any, fence: int, record: Any, lock: str | None) -> Claim:
        if not isinstance(record, dict) or not self._signer.is_valid(record):
            # What it says is not believed; whose it is, who may see the result, is.
            problem = (
                "This job was changed in the server's database after it was accepted, so it was not run."
            )
            return Claim(str(job_id), fence, _read(record), lock, problem)
        submission = _read(record)
        if submission is None or submission.job_id != str(job_id):
            return Claim(
                str(job_id), fence, submission, lock, "This job is not one that this server can read."
            )
        return Claim(str(job_id), fence, submission, lock)

    # --- while it runs, and at its end

    def end_unreadable(self, claim: Claim) -> None:
        """End a job whose submission cannot be read. It has no result, as its owner is not known."""
        with self.database.transaction() as connection:
            if connection.execute(END, self.mine(claim)).rowcount:
                connection.execute(
                    "INSERT INTO aiohttp_jobs.ended_jobs (job_id, result_id) VALUES (%s, 0)", (claim.job_id,)
                )

    def again(self, claim: Claim, result: JobResult, following: Submission) -> None:
        """Store the result of an attempt and accept the next one. Does nothing if that was done before.

        Raises `StaleClaimError`.
        """
        values = {**self.mine(claim), **self._columns(following)}
        with self.database.transaction() as connection:
            if not connection.execute(_AGAIN, values).rowcount:
                query = "SELECT FROM aiohttp_jobs.attempts WHERE job_id = %s AND attempt = %s"
                if connection.execute(query, (claim.job_id, result.attempt)).fetchone() is not None:
                    return
                raise StaleClaimError(claim.job_id)
            connection.execute(
                "INSERT INTO aiohttp_jobs.attempts (job_id, attempt, record) VALUES (%s, %s, %s::json)",
                (claim.job_id, result.attempt, json.dumps(result.to_record(), ensure_ascii=False)),
            )
            if not result.output_truncated:
                connection.execute(DROP_OUTPUT, (claim.job_id, result.attempt))
            notify(connection, f"{self._me} job {claim.job_id}")

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        """The results of the attempts of a job that were followed by another, first to last."""
        query = "SELECT record FROM aiohttp_jobs.attempts WHERE job_id = %s ORDER BY attempt"
        return [record for (record,) in self.database.rows(query, (job_id,))] if is_id(job_id) else []

    def say(self, what: str, job_id: str) -> None:
        """Notify the other processes about a job; `what` is one of the words in ``telling``."""
        self.teller.note(what, job_id)
        self.teller.tell()

    def mine(self, claim: Claim) -> dict[str, Any]:
        """The values of `END`."""
        return {"job_id": claim.job_id, "fence": claim.fence, "me": claim.holder or self._me}

    # --- looking

    def get(self, job_id: str) -> JobState | None:
        """The state of a job that has not ended; ``None`` if there is no such job."""
        row = self.database.row(_GET, (job_id,)) if is_id(job_id) else None
        state = None if row is None else _state(row)
        if state is None or state.phase is not JobPhase.QUEUED:
            return state
        placed = self._queued(JobQuery(frozenset(), 1, None, job_id))
        return self._with_waiting(placed[:1] or [state])[0]

    def find(self, query: JobQuery) -> list[JobState]:
        """Running jobs, then queued ones in their order, then those not due yet."""
        found: list[JobState] = []
        for phase in (JobPhase.RUNNING, JobPhase.QUEUED, JobPhase.PENDING):
            left = query.limit - len(found)
            if phase not in query.phases or left <= 0:
                continue
            rest = replace(query, limit=left)
            if phase is JobPhase.QUEUED:
                found += self._with_waiting(self._queued(rest))
            else:
                found += self._in_phase(_RUNNING if phase is JobPhase.RUNNING else _PENDING, rest)
        return found

    def functions_elsewhere(self) -> frozenset[str]:
        """The names of the functions that other living processes offer."""
        rows = self.database.rows(_OTHERS_OFFERS, (self._me, self._stall))
        return function_names(offer for (offers,) in rows for offer in offers)

    def _with_waiting(self, found: list[JobState]) -> list[JobState]:
        """`found`, where each job that no living process can run says what it waits for."""
        if not found:
            return found
        living = [
            Offer(frozenset(places), frozenset(offers))
            for places, offers in self.database.rows(_LIVING, (self._stall,))
        ]
        rows = self.database.rows(_NEEDS, ([state.job.job_id for state in found],))
        sentences = {job_id: waiting_for(needs, slot, living) for job_id, slot, needs in rows}
        return [state._replace(waiting_for=sentences.get(state.job.job_id)) for state in found]

    def _in_phase(self, statement: LiteralString, query: JobQuery) -> list[JobState]:
        values = _of_whom(query)
        if values is None:
            return []
        return [state for row in self.database.rows(statement, values) if (state := _state(row)) is not None]

    def _queued(self, query: JobQuery) -> list[JobState]:
        """Queued jobs in their order, each with its position; last those that have just become due."""
        order = self._order_now()
        placed = [
            state._replace(position=order.position(priority, user_id, nth))
            for *row, priority, user_id, nth in self._in_line(query, order)
            if (state := _state(row)) is not None
        ]
        found = sorted(placed, key=lambda state: state.position or order.total + 1)[: query.limit]
        left = query.limit - len(found)
        due = self._in_phase(_DUE, replace(query, limit=left)) if left > 0 else []
        return found + [each._replace(position=order.total + n) for n, each in enumerate(due, 1)]

    def _order_now(self) -> QueueOrder:
        """The order of all queued jobs; of a long queue it may be a second old, as counting takes a while."""
        counted_at, order = self._order
        if order.total < _LONG_QUEUE or time.monotonic() > counted_at + _COUNT_SECONDS:
            counted_at = time.monotonic()
            order = QueueOrder.of(UsersLine(*row) for row in self.database.rows(_LINES))
            self._order = counted_at, order
        return order

    def _in_line(self, query: JobQuery, order: QueueOrder) -> list[Row]:
        """Rows of queued jobs, among which are the first ones that `query` asks for."""
        if query.id_prefix:
            values = _of_whom(query)
            return [] if values is None else self.database.rows(_BY_ID, values)
        if query.user_id is None:
            wanted = list(order.first(query.limit))
        else:
            wanted = list(order.of_user(query.user_id).first(query.limit))
        values = {
            "priorities": [line.priority for line, _ in wanted],
            "users": [line.user_id for line, _ in wanted],
            "numbers": [number for _, number in wanted],
        }
        return self.database.rows(_FIRST_OF_LINES, values) if wanted else []

    def summary(self) -> tuple[bool, int, int, int]:
        """Whether the queue is paused, and how many jobs are queued, pending and running."""
        is_paused, queued, pending, running = self.database.rows(_SUMMARY)[0]
        return is_paused, queued, pending, running

    def forget_old_turns(self) -> None:
        """Delete the turns that were so long ago that they no longer make a difference."""
        self.database.change(_FORGET_TURNS, (_KEPT_TURNS,))

    def set_paused(self, paused: bool) -> None:
        """Pause or resume the queue, durably and for all processes."""
        with self.database.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(7305, 1)")  # after claims that are being made
            connection.execute("UPDATE aiohttp_jobs.installation SET is_paused = %s", (paused,))
            notify(connection, f"{self._me} work")


def _require_accepted(most: MostWaiting, size: int, rows: Sequence[Row]) -> None:
    is_accepted, waiting, waiting_bytes = rows[0]
    if not is_accepted:
        most.require_turn(waiting, waiting_bytes, size)


def _held_jobs(rows: Sequence[Row]) -> list[HeldJob]:
    return [
        HeldJob(
            str(job_id),
            claim_id,
            None if message is None else StopReason(JobStatus.CANCELLED, message, by=by or ""),
        )
        for job_id, claim_id, by, message in rows
    ]


def notify(connection: Connection, news: str) -> None:
    """Send `news` on `CHANNEL` when the transaction of `connection` commits: slow, so for what is rare."""
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, news))


def _lock_of(submission: Submission) -> str | None:
    """The concurrency key with its owner, of which only one job may run at a time; ``None`` without a key."""
    key = submission.concurrency_key
    if key is None:
        return None
    owner = "" if is_shared_key(key) else submission.concurrency_owner or submission.user_id
    # Functions' own keys have the character that the database does not take.
    return f"{owner}\n{key}".replace("\\", "\\\\").replace("\0", "\\0")


def _of_whom(query: JobQuery) -> dict[str, Any] | None:
    """Values for `_OF_WHOM`; ``None`` when no id begins so."""
    digits = query.id_prefix.replace("-", "")
    try:
        first, last = (uuid.UUID(digits.ljust(32, fill)) for fill in "0f")
    except ValueError:
        return None
    if not str(first).startswith(query.id_prefix.lower()):
        return None
    return {"user": query.user_id, "first": first, "last": last, "limit": query.limit}


def _read(record: Any) -> Submission | None:
    try:
        return Submission.model_validate(record)
    except ValidationError:
        return None


def _state(row: Sequence[Any]) -> JobState | None:
    job_id, state, is_later, started, runtime, pid, size, progress, is_cancelling, record = row
    submission = _read(record)
    if submission is None or submission.job_id != str(job_id):
        return None
    running = state == "running"
    phase = JobPhase.RUNNING if running else JobPhase.PENDING if is_later else JobPhase.QUEUED
    return submitted_state(
        submission,
        phase,
        is_cancelling=is_cancelling,
        started_at=started.astimezone(UTC) if running and started else None,
        runtime=float(runtime) if running and runtime is not None else None,
        worker=pid,
        output_size=size,
        progress=None if progress is None else Progress(**progress),
    )
