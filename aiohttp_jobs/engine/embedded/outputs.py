"""OutputStore of one data folder, with a class for each place where an output can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...model.job import JobPhase
from ...model.output import CHUNK, OutputPart, Span
from ...worker.output.log import LogWriter
from ...worker.output.segments import existing, whole_characters
from ..base import JobOutput, JobState
from ..running.active import ActiveJob, settle
from ..running.outputs import FilesOutput, NoOutput, output_of
from .files.results import record_run
from .store import FileSystemStore

_ELSEWHERE_SECONDS = 0.5


class EmbeddedOutputs:
    """The outputs of all processes on the folder of `store`; `find_active` finds this process's jobs."""

    def __init__(self, store: FileSystemStore, find_active: Callable[[str], ActiveJob[Any] | None]) -> None:
        self._store = store
        self._find_active = find_active
        self._writer = LogWriter()

    def close(self) -> None:
        """Wait for what is being written of watched jobs. Blocks."""
        self._writer.close()

    async def live(self, state: JobState) -> JobOutput:
        active = self._find_active(state.job.job_id)
        if active is not None:
            return output_of(active)
        located = await self._store.locate(state.job.job_id) if state.phase is JobPhase.RUNNING else None
        if located is None or located.log is None:
            return NoOutput(state.job.attempt)
        size, _ = await asyncio.to_thread(existing, located.log)
        return FilesOutput(located.log, size, located.submission.attempt)

    def kept(self, record: dict[str, Any]) -> JobOutput:
        return StoredOutput(self._store, record)

    def next_change(self, job_id: str) -> asyncio.Future[None]:
        active = self._find_active(job_id)
        if active is not None:
            if active.log is not None:
                active.log.file_writer = self._writer
            return active.next_change()
        # Nobody tells of another process's job: it is time to look again.
        loop = asyncio.get_running_loop()
        change: asyncio.Future[None] = loop.create_future()
        loop.call_later(_ELSEWHERE_SECONDS, settle, change)
        return change


class StoredOutput:
    """The output of an ended job: in its result, or in the log beside it."""

    complete = True
    left_out_because = ""

    def __init__(self, store: FileSystemStore, record: dict[str, Any]) -> None:
        self._store = store
        self._record = record
        self.attempt = record_run(record).attempt
        self._text = None if record.get("OutputTruncated") else record.get("Output", "").encode()
        self.size = len(self._text) if self._text is not None else int(record.get("OutputSize", 0))

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        if self._text is None:
            return await self._store.read_log(self._record, offset, most, whole=whole)
        data = self._text[offset : offset + most]
        return OutputPart(offset, whole_characters(data, most) if whole else data)

    async def spans(self) -> list[Span]:
        if self._text is None:
            return await self._store.log_spans(self._record)
        return [Span(0, self.size)] if self.size else []
