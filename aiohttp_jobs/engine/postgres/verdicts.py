"""The one verdict of a job: its end and its result in one transaction, fenced by who has the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ...model.job import JobResult, Submission
from ...system.signing import Signer
from .async_database import AsyncConnection
from .jobs import DROP_OUTPUT, END, Claim, GivenUpError, JobTable
from .results import PostgresResults


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
        news = self._table.news("job" if lets_start else "progress", claim.job_id)

        async def end(connection: AsyncConnection) -> None:
            ended = await connection.execute(END, self._table.mine(claim))
            if not ended.rowcount:
                raise GivenUpError(claim.job_id)
            await connection.execute("DELETE FROM aiohttp_jobs.attempts WHERE job_id = %s", (claim.job_id,))
            if not result.output_truncated:
                # Not earlier: until there is a result, this is all that others have of the output.
                await connection.execute(DROP_OUTPUT, (claim.job_id, result.attempt))
            await connection.execute("SELECT pg_notify(%s, %s)", news)

        await self._results.keep(record, first=end, earlier_attempts=earlier, submission=submission)
        return record


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
