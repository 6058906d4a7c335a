"""The one verdict of a job: its end, its result and its notices, by one statement of who has the job.

Running the job is left to ``dispatcher``, sending the notices to ``notify.delivery``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from pydantic import ValidationError

from ...errors import BusyError
from ...model.job import JobResult, Submission
from ...model.notice import Notice, NoticeState
from ...system.jsontext import dumps
from ...system.signing import Signer
from ..base import TooSlowError
from .database import DatabaseUnavailableError
from .each_job import EachJob
from .jobs import Claim, JobTable, StaleClaimError
from .months import ids_of
from .result_rows import ResultRow
from .results import PostgresResults
from .telling import ToldResults

_GIVE = """
CALL aiohttp_jobs.verdict_and_tell_1(
    %(job_id)s, %(fence)s, %(me)s, %(attempt)s, %(has_all)s, %(id)s, %(first)s, %(last)s, %(user_id)s,
    %(name)s, %(status)s, %(mode)s, %(success)s, %(started)s, %(runtime)s, %(size)s, %(record)s::json,
    %(long_fields)s::json, %(earlier_attempts)s::json, %(submission)s::json, %(words)s::text[],
    %(notice_ids)s::uuid[], %(notices)s::text[], %(channels)s::text[], %(news)s::text[], NULL)
"""


_SHORT = 4000
"""Characters of a command and what it printed that are taken apart in the event loop: a few, in no time."""


class MissingMonthError(Exception):
    """There is no partition for the results of this month."""


class Verdicts:
    """Gives the verdicts of the jobs that the process of `table` has, and tells the other processes."""

    def __init__(
        self, table: JobTable, each_job: EachJob, results: PostgresResults, told_results: ToldResults
    ) -> None:
        self._table = table
        self._each_job = each_job
        self._results = results
        self._told_results = told_results

    async def give(
        self,
        claim: Claim,
        result: JobResult,
        earlier: Sequence[Mapping[str, Any]],
        notices: Sequence[Notice] = (),
        *,
        lets_start: bool,
    ) -> dict[str, Any]:
        """End a job durably; returns its result as it is stored.

        `earlier` are the results of the attempts before this one. `notices` are stored by the same
        transaction, to be sent. With `lets_start`, other processes are told to look for jobs, because one
        that waited for this one may start now.

        Raises `StaleClaimError` when this process has the job no longer, or it has ended already, which may
        be by this verdict, if the answer to it was lost; and ``OSError`` when it may be given later.
        """
        record = result.to_record()
        submission = None if claim.submission is None else self._table.signed(claim.submission)

        def values() -> tuple[int, dict[str, Any]]:
            row = self._results.row_of(record, earlier_attempts=earlier, submission=submission)
            told = self._told_results.text(record)
            news = self._table.teller.end_of(claim.job_id, told, lets_start=lets_start)
            return row.month, self._values(claim, result, row, notices, news)

        # What is long takes long to be taken apart into words.
        is_short = len(result.output) + len(result.command) <= _SHORT and not earlier
        month, given = values() if is_short else await self._table.in_thread(values)
        try:
            await self._give(claim, given)
        except MissingMonthError:
            await self._results.make_month(month)
            await self._give(claim, given)
        return record

    async def _give(self, claim: Claim, values: Mapping[str, Any]) -> None:
        """End the job, with its result and its notices, and then tell the others."""
        try:
            ((is_given,),) = await self._each_job.done(_GIVE, values)
        except (BusyError, TooSlowError) as error:
            # Nothing of it was done; a job whose verdict is not given would have none.
            raise DatabaseUnavailableError from error
        except psycopg.errors.CheckViolation:
            # Another process has dropped it, or nobody has made it: the clock was far ahead, or the job late.
            raise MissingMonthError from None
        if not is_given:
            raise StaleClaimError(claim.job_id)

    def _values(
        self,
        claim: Claim,
        result: JobResult,
        row: ResultRow,
        notices: Sequence[Notice],
        news: Sequence[tuple[str, str]],
    ) -> dict[str, Any]:
        """The values of `_GIVE`."""
        first, end = ids_of(row.month)
        return {
            **row.values,
            **self._table.mine(claim),
            "attempt": result.attempt,
            # Not earlier: until there is a result, the copy is all that others have of the output.
            "has_all": not result.output_truncated,
            "id": row.wanted_id,
            "first": first,
            "last": end - 1,
            "notice_ids": [each.notice_id for each in notices],
            "notices": [_due(each) for each in notices],
            "channels": [channel for channel, _ in news],
            "news": [said for _, said in news],
        }


def _due(notice: Notice) -> str:
    """A notice as it is stored to be sent."""
    return dumps(notice.model_copy(update={"state": NoticeState.PENDING}).to_record()).decode()


class KeptVerdicts:
    """Signed records of verdicts, which the process `me` keeps on its disk while the database is away."""

    def __init__(self, me: str, signer: Signer) -> None:
        self._me = me
        self._signer = signer

    def record_of(self, claim: Claim, submission: Submission, result: JobResult) -> dict[str, Any]:
        """The record to keep of a verdict."""
        return self._signer.sign(
            {
                "Holder": claim.holder or self._me,
                "Fence": claim.fence,
                "Submission": submission.to_record(),
                "Result": result.to_record(),
            }
        )

    def read(self, record: Mapping[str, Any]) -> tuple[Claim, Submission, JobResult] | None:
        """What a record says, to be given for the process that had the job; ``None`` if it is not signed."""
        if not self._signer.is_valid(record):
            return None
        try:
            submission = Submission.model_validate(record["Submission"])
            result = JobResult.model_validate(record["Result"])
        except (KeyError, ValidationError):
            return None
        holder, fence = str(record["Holder"]), int(record["Fence"])
        return Claim(submission.job_id, fence, submission, None, holder=holder), submission, result
