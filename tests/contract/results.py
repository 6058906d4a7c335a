"""The results that one process sees, over each engine: made, and asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from aiohttp_jobs.engine.base import ResultRepository
from aiohttp_jobs.model.job import JobStatus, format_utc, new_job_id
from aiohttp_jobs.model.results import ResultFilter, RetentionRules, Sort
from aiohttp_jobs.model.search import parse_search

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def result(minute: float = 0, **fields: Any) -> dict[str, Any]:
    """A result's record, completed `minute` minutes after `NOW`."""
    completed = NOW + timedelta(minutes=minute)
    return {
        "JobID": new_job_id(),
        "UserID": "alice",
        "SessionID": "s1",
        "JobName": "test",
        "Command": "true",
        "Description": "",
        "ExecutionMode": "BackgroundJob",
        "DateStarted": format_utc(completed - timedelta(seconds=1)),
        "DateCompleted": format_utc(completed),
        "Runtime": 1.0,
        "Output": "",
        "Success": True,
        "Status": "Succeeded",
        **fields,
    }


class Asked:
    """What is asked of `repository`: by alice, unless another `user_id` is among what is wanted."""

    def __init__(self, repository: ResultRepository) -> None:
        self.repository = repository

    async def page(
        self, sort: str = "-completed", after: str | None = None, limit: int = 100, **wanted: Any
    ) -> tuple[list[str], str | None]:
        """The job ids on one page, and where the next starts."""
        if "q" in wanted:
            wanted["terms"] = parse_search(wanted.pop("q"))
        found = ResultFilter(**{"user_id": "alice", **wanted})
        page = await self.repository.page(found, Sort(sort), after, limit)
        return [json.loads(text)["JobID"] for text in page.records], page.cursor

    async def ids(self, **wanted: Any) -> list[str]:
        return (await self.page(**wanted))[0]

    async def snippets(self, q: str) -> list[str | None]:
        """What is quoted of each result that `q` finds."""
        found = ResultFilter("alice", terms=parse_search(q))
        page = await self.repository.page(found, Sort.COMPLETED_DOWN, None, 100)
        return [json.loads(text)["Snippet"] for text in page.records]

    async def all_pages(self, limit: int, **wanted: Any) -> list[str]:
        """The job ids on all pages, one after the other."""
        found: list[str] = []
        after: str | None = None
        while True:
            ids, after = await self.page(after=after, limit=limit, **wanted)
            found += ids
            if after is None:
                return found

    async def expire(self, limit: int = 3, **rules: Any) -> int:
        """Delete in batches of `limit` until all is gone that `rules` do not keep; how many."""
        deleted = 0
        while gone := await self.repository.delete_expired(RetentionRules(**rules), limit):
            assert gone <= limit
            deleted += gone
        return deleted


@dataclass
class KeptResults(Asked):
    """The same, with what makes results; `module` is where its repository is."""

    repository: ResultRepository
    keep: Callable[[dict[str, Any]], Awaitable[None]]
    keep_all: Callable[[list[dict[str, Any]]], Awaitable[None]]
    previous_status: Callable[[str, str, datetime], Awaitable[JobStatus | None]]
    module: ModuleType

    async def add(self, minute: float = 0, **fields: Any) -> str:
        """A result of a job that this process ran; its id."""
        record = result(minute, **fields)
        await self.keep(record)
        return str(record["JobID"])


OpenResults = Callable[..., Awaitable[KeptResults]]


@asynccontextmanager
async def embedded(place: str, search_bytes: int) -> AsyncIterator[KeptResults]:
    """In the data folder `place`."""
    from aiohttp_jobs.engine.embedded import results as module  # noqa: PLC0415 - as the other

    from ..engine.embedded.support import opened  # noqa: PLC0415 - is made of `Asked`

    async with opened(Path(place), interval=60, search_bytes=search_bytes) as results:

        async def keep(record: dict[str, Any]) -> None:
            results.write(record)
            results.catalogue.note(record)

        async def keep_all(records: list[dict[str, Any]]) -> None:
            for record in records:
                await keep(record)

        yield KeptResults(results.catalogue, keep, keep_all, results.catalogue.previous_status, module)


@asynccontextmanager
async def postgres(place: str, search_bytes: int) -> AsyncIterator[KeptResults]:
    """In the database `place`."""
    from aiohttp_jobs.engine.postgres import results as module  # noqa: PLC0415 - needs psycopg
    from aiohttp_jobs.engine.postgres.async_database import AsyncDatabase  # noqa: PLC0415 - as well
    from aiohttp_jobs.engine.postgres.history import PostgresHistory  # noqa: PLC0415 - as well
    from aiohttp_jobs.engine.postgres.result_rows import insert, row_of  # noqa: PLC0415 - as well

    database = AsyncDatabase(place)
    await database.open()
    results = module.PostgresResults(database, search_bytes=search_bytes)
    await results.open()
    try:
        history = PostgresHistory(database, results, lambda _: None)

        async def keep_all(records: list[dict[str, Any]]) -> None:
            for record in records[:1]:
                await results.keep(record)  # so that their month is there
            async with database.transaction() as connection:
                for record in records[1:]:
                    await insert(connection, row_of(record, search_bytes=search_bytes))

        yield KeptResults(results, results.keep, keep_all, history.previous_status, module)
    finally:
        await results.close()
        await database.close()


ENGINES: dict[str, Callable[[str, int], AbstractAsyncContextManager[KeptResults]]] = {
    "embedded": embedded,
    "postgres": postgres,
}
