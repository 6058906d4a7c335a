"""JobHistory for ended jobs, whose results are stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from ...model.job import JobStatus, Submission
from ...model.results import ResultFilter, Sort
from ...system.jsontext import loads
from ..base import ResultRepository
from .async_database import AsyncDatabase
from .result_rows import job_uuids

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
