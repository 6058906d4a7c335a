"""Reading a job's output, wherever it lies at the moment: one small class for each place."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from .execution.log import OutputLog
from .execution.segments import CHUNK, Part, read_segments, whole_characters
from .store.base import JobStore


class OutputReader(Protocol):
    """`size` is in bytes; `complete` tells whether that is all there will be."""

    @property
    def size(self) -> int: ...

    @property
    def complete(self) -> bool: ...

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> Part:
        """From `offset` on, ending with a whole character (`most` is then at least 4) or exactly."""
        ...


class NoOutput:
    """Of a job that has not started."""

    size = 0
    complete = False

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> Part:
        return Part(offset, b"")


class LiveOutput:
    """Of a job that runs here: in memory, and in files once flushed."""

    complete = False

    def __init__(self, log: OutputLog) -> None:
        self._log = log

    @property
    def size(self) -> int:
        return self._log.size

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> Part:
        part = self._log.read(offset, most, whole=whole)
        if part is not None:
            if part.data and self._log.unwritten:
                # What somebody has seen outlives the host: who resumes after a crash goes on right there.
                # A full disk is the log's own to report.
                with suppress(OSError):
                    await asyncio.to_thread(self._log.flush)
            return part
        return await asyncio.to_thread(self._log.read_files, offset, most, whole=whole)


class FilesOutput:
    """Of a job that runs in another process: what that has flushed, `size` bytes at least."""

    complete = False

    def __init__(self, folder: Path, size: int = 0) -> None:
        self._folder = folder
        self.size = size

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> Part:
        part = await asyncio.to_thread(read_segments, self._folder, offset, most, whole=whole)
        self.size = max(self.size, part.offset + len(part.data))
        return part


class StoredOutput:
    """Of a job that has ended: in its result, or in the log kept beside it."""

    complete = True

    def __init__(self, store: JobStore, record: dict[str, Any]) -> None:
        self._store = store
        self._record = record
        self._text = None if record.get("OutputTruncated") else record.get("Output", "").encode()
        self.size = len(self._text) if self._text is not None else int(record.get("OutputSize", 0))

    async def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> Part:
        if self._text is None:
            return await self._store.read_log(self._record, offset, most, whole=whole)
        data = self._text[offset : offset + most]
        return Part(offset, whole_characters(data, most) if whole else data)
