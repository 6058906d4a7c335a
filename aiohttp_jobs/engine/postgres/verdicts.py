"""The one verdict of a job: its end and its result by one statement, fenced by who has the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from pydantic import ValidationError

from ...model.job import JobResult, Submission
from ...system.signing import Signer
from .jobs import Claim, GivenUpError, JobTable
from .months import ids_of
from .result_rows import ResultRow
from .results import PostgresResults

_GIVE = """
SELECT aiohttp_jobs.verdict_1(
    %(job_id)s, %(fence)s, %(me)s, %(attempt)s, %(has_all)s, %(id)s, %(first)s, %(last)s, %(user_id)s,
    %(name)s, %(status)s, %(mode)s, %(success)s, %(started)s, %(runtime)s, %(size)s, %(record)s::json,
    %(long_fields)s::json, %(earlier_attempts)s::json, %(submission)s::json, %(words)s::text[])
"""


class MissingMonthError(Exception):
    """There is no partition for the results of this `month`."""

    def __init__(self, month: int) -> None:
        super().__init__(month)
        self.month = month


class Verdicts:
    """Gives the verdicts of the jobs that the process of `table` has."""

    def __init__(self, table: JobTable, results: PostgresResults) -> None:
        self._table = table
        self._results = results

    async def give(
        self, claim: Claim, result: JobResult, earlier: Sequence[Mapping[str, Any]], *, lets_start: bool
    ) -> dict[str, Any]:
        """End a job durably; its result as it is stored. `earlier` are the results of the attempts before.

        The others look for jobs when it `lets_start` another one: each look is a claim, of each of them.

        Raises `GivenUpError` when the job is this process's no longer, or has ended: by this very verdict,
        perhaps, whose answer was lost.
        """
        record = result.to_record()
        submission = None if claim.submission is None else self._table.signed(claim.submission)

        def make() -> ResultRow:
            return self._results.row_of(record, earlier_attempts=earlier, submission=submission)

        what = "job" if lets_start else "progress"
        try:
            await self._table.in_thread(self._give, claim, result, make, what)
        except MissingMonthError as error:
            await self._results.make_month(error.month)
            await self._table.in_thread(self._give, claim, result, make, what)
        return record

    def _give(self, claim: Claim, result: JobResult, make: Callable[[], ResultRow], what: str) -> None:
        """Do it, and tell of it as `what`."""
        row = make()
        first, end = ids_of(row.month)
        values = {
            **row.values,
            **self._table.mine(claim),
            "attempt": result.attempt,
            # Not earlier: until there is a result, the copy is all that others have of the output.
            "has_all": not result.output_truncated,
            "id": row.wanted_id,
            "first": first,
            "last": end - 1,
        }
        try:
            ((is_given,),) = self._table.database.rows(_GIVE, values)
        except psycopg.errors.CheckViolation:
            # Another process has dropped it, or nobody has made it: the clock was far ahead, or the job late.
            raise MissingMonthError(row.month) from None
        if not is_given:
            raise GivenUpError(claim.job_id)
        self._table.say(what, claim.job_id)


class KeptVerdicts:
    """Verdicts as they are kept on the disk of the process `me` while the database is away, signed."""

    def __init__(self, me: str, signer: Signer) -> None:
        self._me = me
        self._signer = signer

    def record_of(self, claim: Claim, submission: Submission, result: JobResult) -> dict[str, Any]:
        """What is kept of a verdict."""
        return self._signer.sign(
            {
                "Holder": claim.holder or self._me,
                "Fence": claim.fence,
                "Submission": submission.to_record(),
                "Result": result.to_record(),
            }
        )

    def read(self, record: Mapping[str, Any]) -> tuple[Claim, Submission, JobResult] | None:
        """It again, to be given for the process that had the job; ``None`` for what no host has signed."""
        if not self._signer.is_valid(record):
            return None
        try:
            submission = Submission.model_validate(record["Submission"])
            result = JobResult.model_validate(record["Result"])
        except (KeyError, ValidationError):
            return None
        holder, fence = str(record["Holder"]), int(record["Fence"])
        return Claim(submission.job_id, fence, submission, None, holder=holder), submission, result
