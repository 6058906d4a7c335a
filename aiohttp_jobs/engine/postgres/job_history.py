"""JobHistory of all jobs in the database, ended or not."""

from __future__ import annotations

from typing import Any

from ...model.job import Submission
from .async_database import AsyncDatabase
from .history import PostgresHistory
from .jobs import JobTable
from .results import PostgresResults


class PostgresJobHistory(PostgresHistory):
    """Of the jobs in `table` and those that have left `results`."""

    def __init__(self, database: AsyncDatabase, results: PostgresResults, table: JobTable) -> None:
        super().__init__(database, results, table.believed)
        self._table = table

    async def attempts(self, submission: Submission) -> list[dict[str, Any]]:
        return await self._table.in_thread(self._table.attempts, submission.job_id)

    async def current_submission(self, job_id: str) -> Submission | None:
        return await self._table.in_thread(self._table.current_submission, job_id)
