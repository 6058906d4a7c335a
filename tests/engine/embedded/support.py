"""Result files as a store or another program leaves them, and a catalogue over them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp_jobs.engine.embedded.files.deleted_ids import DeletedIds
from aiohttp_jobs.engine.embedded.files.layout import Layout
from aiohttp_jobs.engine.embedded.files.results import ResultFiles
from aiohttp_jobs.engine.embedded.results import IndexedResults

from ...contract.results import NOW, Asked, result

__all__ = ["NOW", "Results", "opened", "result"]


class Results(Asked):
    """A catalogue on the folder `base`, and what other programs do to its files."""

    def __init__(self, base: Path, *, interval: float = 0.05, search_bytes: int = 1000) -> None:
        self.at = Layout(base)
        for folder in (self.at.output, self.at.results):
            folder.mkdir(parents=True, exist_ok=True)
        files = ResultFiles(self.at, DeletedIds(self.at.deleted_ids))
        self.catalogue = IndexedResults(self.at, files, search_bytes=search_bytes, interval=interval)
        super().__init__(self.catalogue)

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


@asynccontextmanager
async def opened(base: Path, **settings: Any) -> AsyncIterator[Results]:
    results = Results(base, **settings)
    await results.catalogue.open()
    try:
        yield results
    finally:
        await results.catalogue.close()
