"""The output of a job that has not started, that runs in this process, or that is in a folder."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ...model.output import CHUNK, OutputPart, Span
from ...worker.output.log import OutputLog
from ...worker.output.segments import kept_spans, read_segments
from .active import ActiveJob, settle


class NoOutput:
    """The output of a job that has not started: empty."""

    size = 0
    complete = False
    left_out_because = ""

    def __init__(self, attempt: int = 1) -> None:
        self.attempt = attempt

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        return OutputPart(offset, b"")

    async def spans(self) -> list[Span]:
        return []


class LiveOutput:
    """The output of a job that runs in this process: in memory and, once flushed, in files."""

    complete = False
    left_out_because = ""

    def __init__(self, log: OutputLog, attempt: int = 1) -> None:
        self.attempt = attempt
        self._log = log

    @property
    def size(self) -> int:
        return self._log.size

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        part, written = self._log.read(offset, most, whole=whole), self._log.written
        if part is not None:
            if part.data and offset + len(part.data) > written:
                # What somebody has seen outlives the host: who resumes after a crash goes on right there.
                if offset < written:
                    return OutputPart(offset, part.data[: written - offset])
                await self._flush()
            return part
        return await asyncio.to_thread(self._log.read_files, offset, most, whole=whole)

    async def spans(self) -> list[Span]:
        await self._flush()  # what is in memory alone is in none of them
        return await asyncio.to_thread(self._log.kept_spans)

    async def _flush(self) -> None:
        if not self._log.unwritten:
            return
        if self._log.file_writer is not None:
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._log.once_written(partial(settle, written))
            await written
            return
        with suppress(OSError):  # a full disk is the log's own to report
            await asyncio.to_thread(self._log.flush)


class FilesOutput:
    """An output in a folder of segments, as far as it was flushed; at least `size` bytes."""

    complete = False
    left_out_because = ""

    def __init__(self, folder: str | Path, size: int = 0, attempt: int = 1) -> None:
        self.attempt = attempt
        self._folder = folder
        self.size = size

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        part = await asyncio.to_thread(read_segments, self._folder, offset, most, whole=whole)
        self.size = max(self.size, part.offset + len(part.data))
        return part

    async def spans(self) -> list[Span]:
        return await asyncio.to_thread(kept_spans, self._folder)


def output_of(active: ActiveJob[Any]) -> NoOutput | LiveOutput:
    """The output of a job of this process."""
    attempt = active.job.attempt
    return LiveOutput(active.log, attempt) if active.log is not None else NoOutput(attempt)
