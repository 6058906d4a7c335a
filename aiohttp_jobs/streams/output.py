"""Reading a job's output, wherever it lies at the moment: one small class for each place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ..engine.base import JobStore
from ..errors import NotFoundError
from ..model.output import OutputPart, Span
from ..worker.output.log import OutputLog
from ..worker.output.segments import CHUNK, kept_spans, read_segments, whole_characters

_PIECE = 256 * 1024


class OutputReader(Protocol):
    """`attempt` is the one whose output it is; `size` is in bytes; `complete`: there will be no more."""

    @property
    def attempt(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def complete(self) -> bool: ...

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        """From `offset` on, ending with a whole character (`most` is then at least 4) or exactly."""
        ...

    async def spans(self) -> list[Span]:
        """The stretches that are kept; those not yet in files are left out while the job runs."""
        ...


class NoOutput:
    """Of a job that has not started."""

    size = 0
    complete = False

    def __init__(self, attempt: int = 1) -> None:
        self.attempt = attempt

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        return OutputPart(offset, b"")

    async def spans(self) -> list[Span]:
        return []


class LiveOutput:
    """Of a job that runs here: in memory, and in files once flushed."""

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


class FilesOutput:
    """Of a job that runs in another process: what that has flushed, `size` bytes at least."""

    complete = False

    def __init__(self, folder: Path, size: int = 0, attempt: int = 1) -> None:
        self.attempt = attempt
        self._folder = folder
        self.size = size

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        part = await asyncio.to_thread(read_segments, self._folder, offset, most, whole=whole)
        self.size = max(self.size, part.offset + len(part.data))
        return part

    async def spans(self) -> list[Span]:
        return await asyncio.to_thread(kept_spans, self._folder)


class StoredOutput:
    """Of a job that has ended: in its result, or in the log kept beside it."""

    complete = True

    def __init__(self, store: JobStore, record: dict[str, Any]) -> None:
        self._store = store
        self._record = record
        self.attempt = int(record.get("Attempt", 1))
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


class WholeOutput:
    """All that is kept of an ended job's output as one text, with a note in place of what is not kept."""

    def __init__(self, reader: OutputReader, spans: Sequence[Span]) -> None:
        """`spans` are the reader's own."""
        self._reader = reader
        self._pieces: list[bytes | Span] = []
        end = 0
        for span in spans:
            if span.start > end:
                self._pieces.append(left_out(span.start - end))
            self._pieces.append(span)
            end = span.stop
        self.size = sum(map(_length, self._pieces))
        self.gap = spans[0].stop if spans and spans[0].start == 0 else 0
        """Where the first bytes are that are not kept, or where it ends."""
        self.attempt = reader.attempt

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `stop`, in pieces.

        Raises `NotFoundError` when the output is deleted while it is read.
        """
        position = 0
        for piece in self._pieces:
            first, last = max(start - position, 0), min(stop - position, _length(piece))
            position += _length(piece)
            if first >= last:
                continue
            if isinstance(piece, bytes):
                yield piece[first:last]
                continue
            async for data in self._read_span(piece.start + first, piece.start + last):
                yield data

    async def _read_span(self, offset: int, stop: int) -> AsyncIterator[bytes]:
        while offset < stop:
            part = await self._reader.read(offset, min(stop - offset, _PIECE), whole=False)
            if part.offset != offset or not part.data:
                raise NotFoundError("The output was deleted while it was read.")
            yield part.data
            offset += len(part.data)


def left_out(count: int) -> bytes:
    """The line that stands for `count` bytes that are not kept."""
    return f"\n[... {count} bytes of output left out ...]\n".encode()


def _length(piece: bytes | Span) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.stop - piece.start
