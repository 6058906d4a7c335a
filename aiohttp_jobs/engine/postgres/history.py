"""JobHistory of the jobs in the database: of those that have ended, whose results are stored, and of all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from ...model.job import JobStatus, Submission
from ...model.results import ResultFilter, Sort
from ...system.jsontext import loads
from ..base import ResultRepository
from .async_database import AsyncDatabase
from .jobs import JobTable
from .result_rows import job_uuids
from .results import PostgresResults

_WAS_USED = "SELECT 1 FROM aiohttp_jobs.ended_jobs WHERE job_id = ANY(%s)"
_RESULT = """
SELECT r.record, r.long_fields, r.earlier_attempts, r.submission FROM aiohttp_jobs.ended_jobs e
JOIN aiohttp_jobs.results r ON r.id = e.result_id AND r.job_id = e.job_id WHERE e.job_id = ANY(%s)
"""


class PostgresHistory:
    """Of `results`; `read_submission` makes one of its record, ``None`` when that is not to be believed."""

    def __init__(
        self,
        database: AsyncDatabase,
        results: ResultRepository,
        read_submission: Callable[[dict[str, Any]], Submission | None],
    ) -> None:
        self._database = database
        self._results = results
        self._read_submission = read_submission

    async def attempts_of(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        _, _, attempts, _ = await self._row(str(record.get("JobID")))
        return attempts or []

    async def submission_of(self, record: dict[str, Any]) -> Submission | None:
        _, _, _, submission = await self._row(str(record.get("JobID")))
        return None if submission is None else self._read_submission(submission)

    async def was_used(self, job_id: str) -> bool:
        return await self._database.row(_WAS_USED, (job_uuids([job_id]),)) is not None

    async def list_results(
        self, user_id: str | None, limit: int, id_prefix: str = ""
    ) -> list[dict[str, Any]]:
        wanted = ResultFilter(user_id, id_digits=id_prefix.replace("-", ""))
        page = await self._results.page(wanted, Sort.COMPLETED_DOWN, None, limit)
        return [loads(text) for text in page.records]

    async def previous_status(self, user_id: str, job_name: str, before: datetime) -> JobStatus | None:
        wanted = ResultFilter.telling(user_id, job_name, before)
        page = await self._results.page(wanted, Sort.COMPLETED_DOWN, None, 1)
        status = loads(page.records[0]).get("Status") if page.records else None
        return JobStatus(status) if status in set(JobStatus) else None

    async def get_result(self, job_id: str) -> dict[str, Any] | None:
        record, long_fields, _, _ = await self._row(job_id)
        return None if record is None else {**record, **long_fields}

    async def _row(self, job_id: str) -> tuple[Any, ...]:
        return await self._database.row(_RESULT, (job_uuids([job_id]),)) or (None,) * 4


class PostgresJobHistory(PostgresHistory):
    """Of all jobs, ended or not: those in `table` and those that have left `results`."""

    def __init__(self, database: AsyncDatabase, results: PostgresResults, table: JobTable) -> None:
        super().__init__(database, results, table.believed)
        self._table = table

    async def attempts(self, submission: Submission) -> list[dict[str, Any]]:
        return await self._table.in_thread(self._table.attempts, submission.job_id)

    async def current_submission(self, job_id: str) -> Submission | None:
        return await self._table.in_thread(self._table.current_submission, job_id)
