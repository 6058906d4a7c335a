"""Imports the jobs, results and records of another installation, each once, however often it is repeated.

``assembly.importing`` reads the other installation.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, Self, TypeVar

import psycopg

from ...errors import NotFoundError
from ...model.api_key import ApiKey
from ...model.job import ExecutionMode, Submission
from ...model.notice import Notice
from ...model.output import CHUNK
from ...model.schedule import Schedule
from ...model.template import Template
from ..base import MostWaiting
from .async_database import AsyncConnection, AsyncDatabase
from .history import PostgresHistory
from .installation import PostgresInstallation
from .jobs import JobTable
from .records import PostgresRecords
from .results import PostgresResults

R = TypeVar("R", Schedule, Template)
_NO_LIMIT = MostWaiting(jobs=1 << 40, size=1 << 50)
_PUT = """
INSERT INTO aiohttp_jobs.output_chunks (job_id, attempt, start, data) VALUES (%s, %s, %s, %s)
"""
_ATTEMPT = """
INSERT INTO aiohttp_jobs.attempts (job_id, attempt, record) VALUES (%s, %s, %s::json) ON CONFLICT DO NOTHING
"""

Pieces = AsyncIterator[tuple[int, int, bytes]]
"""Stretches of an output: of which attempt, from where on, and what."""


class PostgresImport:
    """Imports into the installation at `dsn`, whose hosts may be running. Every method returns whether the
    thing was new there.
    """

    def __init__(self, dsn: str, secret: bytes) -> None:
        self._installation = PostgresInstallation(dsn, secret, session_max_age=1.0, max_sessions_per_user=1)
        self._database = AsyncDatabase(dsn, seconds=600.0)
        # What can be searched is what a host's own results have by default.
        self._results = PostgresResults(self._database, search_bytes=64 * 1024)
        self._signer = self._installation.signer("submission")
        self._history = PostgresHistory(self._database, self._results, lambda record: None)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises `ConfigurationError` when the database cannot be used, or has another secret."""
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(self._installation.open)
            stack.push_async_callback(asyncio.to_thread, self._installation.close)
            await self._database.open()
            stack.push_async_callback(self._database.close)
            await self._results.open()
            stack.push_async_callback(self._results.close)
            self._stack = stack.pop_all()
        me = self._installation.presence.process_id
        stall = self._installation.presence.stall_seconds
        self._table = JobTable(self._installation.database, me, self._signer, stall)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def has_result(self, job_id: str) -> bool:
        """Whether a job has ended there, its result kept or deleted."""
        return await self._history.was_used(job_id)

    async def keep_result(
        self,
        record: Mapping[str, Any],
        earlier: Sequence[Mapping[str, Any]],
        submission: Submission | None,
        output: Pieces,
    ) -> bool:
        """`output` is what lies beside the result, with those of the attempts before it, `earlier`."""

        async def put(connection: AsyncConnection) -> None:
            async for attempt, start, data in output:
                for at in range(0, len(data), CHUNK):
                    piece = data[at : at + CHUNK]
                    await connection.execute(_PUT, (record["JobID"], attempt, start + at, piece))

        signed = None if submission is None else self._signer.sign(submission.to_record())
        try:
            await self._results.keep(record, first=put, earlier_attempts=earlier, submission=signed)
        except psycopg.errors.UniqueViolation:
            return False
        return True

    def keep_waiting(self, submission: Submission, earlier: Sequence[Mapping[str, Any]]) -> bool:
        """A job that waits, and the results of its attempts so far. It begins as soon as it may. Blocks."""
        is_new = self._table.get(submission.job_id) is None
        for record in earlier:
            attempt = record.get("Attempt") or 1
            values = (submission.job_id, attempt, json.dumps(record, ensure_ascii=False))
            self._installation.database.change(_ATTEMPT, values)
        only_here = submission.execution_mode is ExecutionMode.MAIN_LOOP
        self._table.submit(submission, _NO_LIMIT, only_here=only_here)
        return is_new

    def keep_schedule(self, schedule: Schedule, handled: datetime | None) -> bool:
        """With the last moment that was fired, so that it goes on from there. Blocks."""
        moments = self._installation.fired_moments
        if handled is not None:
            taken = moments.take(schedule.record_id, handled, None, "imported")
            if taken is not None:
                moments.finish(taken)
        return _add(self._installation.schedules, schedule)

    def keep_template(self, template: Template) -> bool:
        """Blocks."""
        return _add(self._installation.templates, template)

    def keep_notice(self, notice: Notice) -> bool:
        """It goes on to be sent, if it was not. Blocks."""
        notices = self._installation.notices
        try:
            notices.get(notice.notice_id)
        except NotFoundError:
            notices.add(notice)
            return True
        return False

    def keep_api_key(self, key: ApiKey) -> bool:
        """It goes on to be proven by the same text. Blocks."""
        return self._installation.api_keys.add(key)


def _add(records: PostgresRecords[R], record: R) -> bool:
    try:
        records.get(record.record_id)
    except NotFoundError:
        records.add(record)
        return True
    return False
