"""OutputStore on a database: a job of this process is read from its log, others from their copies, and what
those leave out from whoever has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...model.job import JobPhase
from ...model.output import CHUNK, OutputPart, Span, joined_spans
from ...worker.output.segments import of_whole_characters, whole_characters
from ..base import JobOutput, JobState
from ..running.active import ActiveJob
from ..running.outputs import NoOutput, output_of
from .kept_logs import KeptLogs
from .log_exchange import LogExchange
from .log_requests import LogRequests
from .output_chunks import OutputChunks

_GONE = "the process that ran the job had them, and does not answer or keeps them no longer"


class PostgresOutputs:
    """The outputs of all processes.

    `find_active` knows the jobs that run in this one, `copied` how much of each others have, and
    `next_change` tells of all. `watch` is told of each job that somebody looks at. `kept` are the outputs of
    ended jobs that this process has, and `requests` what others ask of it, and it of others, by `exchange`.
    """

    def __init__(
        self,
        chunks: OutputChunks,
        kept: KeptLogs,
        requests: LogRequests,
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
        self._kept = kept
        self.exchange = LogExchange(requests, self._own)

    async def live(self, state: JobState) -> JobOutput:
        if state.phase is JobPhase.RUNNING:
            self._watch(state.job.job_id)
        active = self._find_active(state.job.job_id)
        if active is not None:
            return CopiedOutput(output_of(active), lambda: self._copied(state.job.job_id))
        if state.phase is not JobPhase.RUNNING:
            return NoOutput(state.job.attempt)
        return self._chunks_of(state.job.job_id, state.job.attempt, state.output_size, complete=False)

    def kept(self, record: dict[str, Any]) -> JobOutput:
        attempt = record.get("Attempt") or 1
        if record.get("OutputTruncated"):
            size = int(record.get("OutputSize", 0))
            return self._chunks_of(record["JobID"], attempt, size, complete=True)
        return TextOutput(record.get("Output", "").encode(), attempt)

    def _chunks_of(self, job_id: str, attempt: int, size: int, *, complete: bool) -> ChunksOutput:
        return ChunksOutput(self._chunks, self.exchange, job_id, attempt, size, complete=complete)

    def _own(self, job_id: str, attempt: int) -> JobOutput | None:
        active = self._find_active(job_id)
        if active is not None and active.job.attempt == attempt and active.log is not None:
            return output_of(active)  # others know sooner than this process how much they have of it
        return self._kept.find(job_id, attempt)

    def next_change(self, job_id: str) -> asyncio.Future[None]:
        return self._next_change(job_id)


class CopiedOutput:
    """The output of a job of this process as far as it was copied, so that what a watcher has seen survives
    the process.
    """

    complete = False
    left_out_because = ""

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
    """The output of a job elsewhere, or one that its result contains only in part; at least `size` bytes.

    What is not among the `chunks` is asked for by `exchange`, until it is found out that nobody has it.
    """

    def __init__(
        self,
        chunks: OutputChunks,
        exchange: LogExchange,
        job_id: str,
        attempt: int,
        size: int,
        *,
        complete: bool,
    ) -> None:
        self.attempt = attempt
        self.size = size
        self.complete = complete
        self._chunks = chunks
        self._exchange = exchange
        self._job_id = job_id
        self._gap = Span(0, 0)
        self._is_gone = False

    @property
    def left_out_because(self) -> str:
        return _GONE if self._is_gone else ""

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        part = await self._from_log(offset, most) if self._gap.start <= offset < self._gap.stop else None
        if part is None:
            part = await self._chunks.in_thread(
                self._chunks.read, self._job_id, self.attempt, offset, most, whole=False
            )
            if part.offset > offset or (self.complete and not part.data and offset < self.size):
                self.size = max(self.size, part.offset + len(part.data))
                self._gap = Span(offset, part.offset if part.data else self.size)
                part = await self._from_log(offset, most) or part
        if whole:
            part = of_whole_characters(part, offset, most)
        self.size = max(self.size, part.offset + len(part.data))
        return part

    async def spans(self) -> list[Span]:
        spans = await self._chunks.in_thread(self._chunks.spans, self._job_id, self.attempt)
        is_whole = (
            len(spans) == 1 and spans[0].start == 0 and (not self.complete or spans[0].stop >= self.size)
        )
        if is_whole or self._is_gone or (not spans and not self.complete):
            return spans
        there = await self._exchange.spans(self._job_id, self.attempt)
        self._is_gone = there is None
        if there is None:
            return spans
        # Who runs it has more by now than others are to see of it: what would be lost with that process.
        known = max([self.size, *(span.stop for span in spans)])
        return joined_spans([*spans, *(Span(at, min(stop, known)) for at, stop in there if at < known)])

    async def _from_log(self, offset: int, most: int) -> OutputPart | None:
        """What lies in the gap, from whoever has it."""
        if self._is_gone:
            return None
        part = await self._exchange.read(self._job_id, self.attempt, offset, min(most, self.size - offset))
        self._is_gone = part is None
        is_in_gap = part is not None and part.data and part.offset < self._gap.stop
        return part if is_in_gap else None


class TextOutput:
    """The output of a job whose result contains all of it."""

    complete = True
    left_out_because = ""

    def __init__(self, data: bytes, attempt: int) -> None:
        self.attempt = attempt
        self.size = len(data)
        self._data = data

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        data = self._data[offset : offset + most]
        return OutputPart(offset, whole_characters(data, most) if whole else data)

    async def spans(self) -> list[Span]:
        return [Span(0, self.size)] if self.size else []
