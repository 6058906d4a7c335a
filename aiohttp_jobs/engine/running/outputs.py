"""The output of a job that has not started, or that runs in this process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from ...model.output import CHUNK, OutputPart, Span
from ...worker.output.log import OutputLog
from .active import ActiveJob


class NoOutput:
    """The output of a job that has not started: empty."""

    size = 0
    complete = False

    def __init__(self, attempt: int = 1) -> None:
        self.attempt = attempt

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        return OutputPart(offset, b"")

    async def spans(self) -> list[Span]:
        return []


class LiveOutput:
    """The output of a job that runs in this process: in memory and, once flushed, in files."""

    complete = False

    def __init__(self, log: OutputLog, attempt: int = 1) -> None:
        self.attempt = attempt
        self._log = log

    @property
    def size(self) -> int:
        return self._log.size

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        part = self._log.read(offset, most, whole=whole)
        if part is not None:
            if part.data and self._log.unwritten:
                # What somebody has seen outlives the host: who resumes after a crash goes on right there.
                # A full disk is the log's own to report.
                with suppress(OSError):
                    await asyncio.to_thread(self._log.flush)
            return part
        return await asyncio.to_thread(self._log.read_files, offset, most, whole=whole)

    async def spans(self) -> list[Span]:
        return await asyncio.to_thread(self._log.kept_spans)


def output_of(active: ActiveJob[Any]) -> NoOutput | LiveOutput:
    """The output of a job of this process."""
    attempt = active.job.attempt
    return LiveOutput(active.log, attempt) if active.log is not None else NoOutput(attempt)
