"""OutputStore on a database: a job of this process is read from its log, others from their copies."""

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

    `find_active` knows the jobs that run in this one, `copied` how much of each others have, and
    `next_change` tells of all. `watch` is told of each job that somebody looks at.
    """

    def __init__(
        self,
        chunks: OutputChunks,
        find_active: Callable[[str], ActiveJob[Any] | None],
        copied: Callable[[str], int],
        next_change: Callable[[str], asyncio.Future[None]],
        watch: Callable[[str], None],
    ) -> None:
        self._watch = watch
        self._chunks = chunks
        self._find_active = find_active
        self._copied = copied
        self._next_change = next_change

    async def live(self, state: JobState) -> JobOutput:
        if state.phase is JobPhase.RUNNING:
            self._watch(state.job_id)
        active = self._find_active(state.job_id)
        if active is not None:
            return CopiedOutput(output_of(active), lambda: self._copied(state.job_id))
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


class CopiedOutput:
    """The output of a job of this process as far as it was copied, so that what a watcher has seen survives
    the process.
    """

    complete = False

    def __init__(self, output: JobOutput, copied: Callable[[], int]) -> None:
        self.attempt = output.attempt
        self._output = output
        self._copied = copied

    @property
    def size(self) -> int:
        return min(self._output.size, self._copied())

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        most = min(most, self.size - offset)
        if most <= 0:
            return OutputPart(offset, b"")
        return await self._output.read(offset, most, whole=whole)

    async def spans(self) -> list[Span]:
        size = self.size
        kept = [Span(span.start, min(span.stop, size)) for span in await self._output.spans()]
        return [span for span in kept if span.start < span.stop]


class ChunksOutput:
    """The output of a job elsewhere, or one that its result contains only in part; at least `size` bytes."""

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
    """The output of a job whose result contains all of it."""

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
