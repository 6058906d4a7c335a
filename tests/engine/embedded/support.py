"""Result files as a store or another program leaves them, and a catalogue over them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp_jobs.engine.embedded.files.deleted_ids import DeletedIds
from aiohttp_jobs.engine.embedded.files.layout import Layout
from aiohttp_jobs.engine.embedded.files.results import ResultFiles
from aiohttp_jobs.engine.embedded.results import IndexedResults
from aiohttp_jobs.model.job import format_utc, new_job_id
from aiohttp_jobs.model.results import ResultFilter, Sort
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


class Results:
    """A catalogue on the folder `base`, and what other programs do to its files."""

    def __init__(self, base: Path, *, interval: float = 0.05, search_bytes: int = 1000) -> None:
        self.at = Layout(base)
        for folder in (self.at.output, self.at.results):
            folder.mkdir(parents=True, exist_ok=True)
        files = ResultFiles(self.at, DeletedIds(self.at.deleted_ids))
        self.catalogue = IndexedResults(self.at, files, search_bytes=search_bytes, interval=interval)

    def write(self, record: dict[str, Any]) -> str:
        """The file alone, as another program leaves it; the job's id."""
        self.at.result(record["JobID"]).write_text(json.dumps(record))
        return str(record["JobID"])

    def add(self, minute: float = 0, **fields: Any) -> str:
        """A result of a job that this process ran; its id."""
        record = result(minute, **fields)
        self.write(record)
        self.catalogue.note(record)
        return str(record["JobID"])

    async def page(
        self, sort: str = "-completed", after: str | None = None, limit: int = 100, **wanted: Any
    ) -> tuple[list[str], str | None]:
        """The job ids on one page, and where the next starts."""
        if "q" in wanted:
            wanted["terms"] = parse_search(wanted.pop("q"))
        found = ResultFilter(**{"user_id": "alice", **wanted})
        page = await self.catalogue.page(found, Sort(sort), after, limit)
        return [json.loads(text)["JobID"] for text in page.records], page.cursor

    async def ids(self, **wanted: Any) -> list[str]:
        return (await self.page(**wanted))[0]

    async def snippets(self, q: str) -> list[str | None]:
        """What is quoted of each result that `q` finds."""
        found = ResultFilter("alice", terms=parse_search(q))
        page = await self.catalogue.page(found, Sort.COMPLETED_DOWN, None, 100)
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


@asynccontextmanager
async def opened(base: Path, **settings: Any) -> AsyncIterator[Results]:
    results = Results(base, **settings)
    await results.catalogue.open()
    try:
        yield results
    finally:
        await results.catalogue.close()
