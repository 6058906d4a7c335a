"""A journal whose writes a test holds up, and makes fail, one by one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import SimpleQueue

import pytest

from aiohttp_jobs.engine.embedded.files.journal import Journal, JournalEntry

from ...gate import PATIENCE_SECONDS, until


class HeldJournal:
    """Each write to `journal` waits until the test says how it ends: it is done, refused or fails."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = journal.write
        self._ends: SimpleQueue[bool | Exception] = SimpleQueue()
        self.writers: list[str] = []
        """The name of the thread of each write that has begun."""
        self.written: list[list[str]] = []
        """The runs that each write has made durable."""
        monkeypatch.setattr(journal, "write", self._write)

    def _write(self, entries: Sequence[JournalEntry]) -> bool:
        self.writers.append(threading.current_thread().name)
        end = self._ends.get(timeout=PATIENCE_SECONDS)
        if isinstance(end, Exception):
            raise end
        if end:
            self.written.append([entry.run for entry in entries])
        return end and self._real(entries)

    async def begun(self, count: int) -> None:
        """Wait until `count` writes have begun, the first ones included."""
        await until(lambda: len(self.writers) >= count, f"write {count} of the journal")

    def end(self, *ends: bool | Exception) -> None:
        """Have the next writes end in these ways; true is a write, false says that it does not fit."""
        for end in ends:
            self._ends.put(end)
