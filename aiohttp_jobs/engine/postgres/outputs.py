"""OutputStore on a database: of a job that runs here from its log, of others from what was copied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...model.job import JobPhase
from ...model.output import CHUNK, OutputPart, Span
from ...worker.output.segments import whole_characters
from ..base import JobOutput, JobState
from ..running.active import ActiveJob
from ..running.outputs import NoOutput, output_of
from .output_chunks import OutputChunks


class PostgresOutputs:
    """The outputs of all processes.

    `find_active` knows the jobs that run in this one, `next_change` tells of all.
    """

    def __init__(
        self,
        chunks: OutputChunks,
        find_active: Callable[[str], ActiveJob[Any] | None],
        next_change: Callable[[str], asyncio.Future[None]],
    ) -> None:
        self._chunks = chunks
        self._find_active = find_active
        self._next_change = next_change

    async def live(self, state: JobState) -> JobOutput:
        active = self._find_active(state.job_id)
        if active is not None:
            return output_of(active)
        if state.phase is not JobPhase.RUNNING:
            return NoOutput(state.attempt)
        return ChunksOutput(self._chunks, state.job_id, state.attempt, state.output_size, complete=False)

    def kept(self, record: dict[str, Any]) -> JobOutput:
        attempt = record.get("Attempt") or 1
        if record.get("OutputTruncated"):
            size = int(record.get("OutputSize", 0))
            return ChunksOutput(self._chunks, record["JobID"], attempt, size, complete=True)
        return TextOutput(record.get("Output", "").encode(), attempt)

    def next_change(self, job_id: str) -> asyncio.Future[None]:
        return self._next_change(job_id)


class ChunksOutput:
    """Of a job that runs elsewhere, or one whose result has not all of it: `size` bytes at least."""

    def __init__(self, chunks: OutputChunks, job_id: str, attempt: int, size: int, *, complete: bool) -> None:
        self.attempt = attempt
        self.size = size
        self.complete = complete
        self._chunks = chunks
        self._job_id = job_id

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        part = await self._chunks.in_thread(
            self._chunks.read, self._job_id, self.attempt, offset, most, whole=whole
        )
        self.size = max(self.size, part.offset + len(part.data))
        return part

    async def spans(self) -> list[Span]:
        return await self._chunks.in_thread(self._chunks.spans, self._job_id, self.attempt)


class TextOutput:
    """Of a job whose result has all of it."""

    complete = True

    def __init__(self, data: bytes, attempt: int) -> None:
        self.attempt = attempt
        self.size = len(data)
        self._data = data

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        data = self._data[offset : offset + most]
        return OutputPart(offset, whole_characters(data, most) if whole else data)

    async def spans(self) -> list[Span]:
        return [Span(0, self.size)] if self.size else []
