"""A job's output: read from its pipe as it is printed, kept bounded in memory and on disk.

What is printed lies in memory for a moment, then in segment files of the job's run folder, so that
it outlives the host and any watcher can read it at its own pace. It is UTF-8 throughout: an offset
into it means the same while the job runs and afterwards.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import fcntl
import logging
import os
import termios
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .masking import Masker
from .segments import (
    CHUNK,
    SEGMENT,
    Part,
    SegmentWriter,
    drop_partial_start,
    existing,
    read_segments,
    whole_characters,
)

_FLUSH_BYTES = 8 * CHUNK
_FLOOD_PIPE = 1024 * 1024
_FLOOD_READS = 64
_FLUSH_SECONDS = 0.25
_FIRST_LOOK_SECONDS = 0.005
_SECOND_LOOK_SECONDS = 0.02
_RETRY_SECONDS = 1.0

_new_decoder = codecs.getincrementaldecoder("utf-8")
_logger = logging.getLogger(__name__)


class Output(NamedTuple):
    """What a result keeps of an output."""

    text: str
    truncated: bool


class OutputLog:
    """One job's output, of which a result keeps at most `keep` bytes, half from each end.

    `folder` takes the segment files: all of the output up to `limit` bytes, beyond that its beginning
    and its end. Over a folder that has some, the log goes on where they end, unless it `is_new` and there
    are none. Written to from one thread, `flush` and `read_files` may be called from any.
    """

    def __init__(self, folder: str | Path, keep: int, limit: int = 0, *, is_new: bool = False) -> None:
        self._folder = folder
        self._keep = keep
        self._half = max(1, keep // 2)
        kept_segments = max(limit, 2 * keep) // 2 // SEGMENT + 1
        self._decoder: codecs.IncrementalDecoder | None = None  # until there is something not ASCII
        self.size, self._last_byte = (0, b"") if is_new else existing(folder)
        """Bytes printed so far."""
        self._writer = SegmentWriter(folder, kept_segments, kept_segments + 1, self.size)
        self._chunks: list[bytes] = []
        self._chunks_start = self.size
        self._chunks_lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self.on_change: Callable[[], None] | None = None
        """Called after each addition."""
        self.masker: Masker | None = None
        """What keeps secrets out of it; to be set before anything is added."""

    @property
    def unwritten(self) -> int:
        """Bytes that are only in memory."""
        return self.size - self._chunks_start

    def append(self, data: bytes, *, quietly: bool = False) -> None:
        """Add what the job printed, for now in memory; see `flush`. `quietly`: nobody is told."""
        if self.masker is not None:
            data = self.masker.feed(data)
        self._append(data, quietly=quietly)

    def _append(self, data: bytes, *, quietly: bool = False) -> None:
        if self._decoder is not None or not data.isascii():
            data = self._decode(data)
        self._keep_chunk(data, quietly=quietly)

    def _decode(self, data: bytes) -> bytes:
        if self._decoder is None:
            self._decoder = _new_decoder("replace")
        if data.isascii() and self._decoder.getstate() == (b"", 0):
            return data
        return self._decoder.decode(data).encode()

    def end(self) -> None:
        """Add what was held back: what might have become a secret, a character that was cut short."""
        if self.masker is not None:
            self._append(self.masker.end())
        if self._decoder is not None:
            self._keep_chunk(self._decoder.decode(b"", final=True).encode())

    def add_error(self, message: str) -> None:
        """Add lines of the host's own, marked as the specification marks errors."""
        gap = "" if self._last_byte in (b"", b"\n") else "\n"
        self._keep_chunk(f"{gap}[ERROR] {message}\n".encode("utf-8", "replace"))

    def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> Part | None:
        """From `offset` on, if that is in memory; ``None`` when `read_files` has to be asked."""
        with self._chunks_lock:
            position, chunks = self._chunks_start, self._chunks.copy()
        if offset < position:
            return None
        for chunk in chunks:
            if offset < position + len(chunk):
                data = chunk[offset - position :]
                return Part(offset, whole_characters(data, most) if whole else data[:most])
            position += len(chunk)
        return Part(offset, b"")

    def read_files(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> Part:
        """From `offset` on, in what has been flushed. Blocks."""
        return read_segments(self._folder, offset, most, whole=whole)

    def flush(self, *, and_close: bool = True) -> None:
        """Write what is in memory to the segment files. Blocks; any thread may call it.

        Unless `and_close`, more is about to follow: the last file is left open.
        """
        with self._flush_lock:
            with self._chunks_lock:
                taken = list(self._chunks)
            try:
                # What an earlier attempt wrote before the disk refused is not written again.
                self._writer.write(b"".join(taken)[self._writer.written - self._chunks_start :])
            finally:
                if and_close:
                    self._writer.close()
            # Only now: until here readers find it all in memory, from here on all in the files.
            with self._chunks_lock:
                self._chunks = self._chunks[len(taken) :]
                self._chunks_start = self._writer.written

    def output(self) -> Output:
        """What a result keeps. Blocks, unless nothing has been written yet and `size` is within `keep`."""
        if self.size <= self._keep:
            with self._flush_lock:
                written = self._chunks_start
                files = read_segments(self._folder, 0, written, whole=False).data if written else b""
                return Output(b"".join((files, *self._chunks)).decode("utf-8", "replace"), False)
        self.flush()
        head = self.read_files(0, self._half).data
        tail = drop_partial_start(self.read_files(self.size - self._half, self._half, whole=False).data)
        mark = f"\n[... {self.size - len(head) - len(tail)} bytes of output left out ...]\n"
        return Output(head.decode("utf-8", "replace") + mark + tail.decode("utf-8", "replace"), True)

    def _keep_chunk(self, data: bytes, *, quietly: bool = False) -> None:
        if data:
            with self._chunks_lock:
                self._chunks.append(data)
            self.size += len(data)
            self._last_byte = data[-1:]
            if not quietly:
                self.changed()

    def changed(self) -> None:
        """Tell whoever watches; in the event loop's thread."""
        if self.on_change is not None:
            self.on_change()


def _has_bytes(pipe: int) -> bool:
    """Whether anything can be read from `pipe` at once."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return bool(count[0])


class OutputPipe:
    """A pipe whose read end the running event loop copies into the log of a job, or of one after the other.

    A job that prints faster than the disk takes it waits: no more than a few chunks are in memory.
    What comes while there is no job is thrown away.
    """

    def __init__(self, log: OutputLog | None = None) -> None:
        """With `log`, a job begins at once, and is the only one."""
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._is_watched = False
        self._is_let_go = False
        self._stays = log is None
        if log is None:
            self._watch()
        else:
            # Most jobs are over before anybody could have read on, and are spared being watched.
            self._timer = self._loop.call_later(_FIRST_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if _has_bytes(self._read_end):
            self._watch()
        else:
            self._timer = self._loop.call_later(_SECOND_LOOK_SECONDS, self._watch)

    def _watch(self) -> None:
        self._timer = None
        if not self._is_watched:
            self._is_watched = True
            self._loop.add_reader(self._read_end, self._on_readable)

    def _watch_no_more(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._read_end)

    def close_write_end(self) -> None:
        """To be called once the job has its own copy: the pipe ends when nobody holds one."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def begin(self, log: OutputLog) -> None:
        """From now on a job prints that has `log`, and `end` will be called for it."""
        self._log = log

    async def end(self) -> None:
        """Take in what the job has printed; what a survivor prints later is not kept."""
        log = self._log
        try:
            await self._flushed()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            while log is not None and self._read():
                if log.unwritten >= _FLUSH_BYTES:
                    self._watch_no_more()  # what comes meanwhile is read here, and by nobody else
                    await asyncio.to_thread(log.flush)
        except OSError as error:
            _logger.error("The end of a job's output is lost: %s", error)
        finally:
            self._log = None
            if self._is_let_go:
                self._close_read_end()
            elif self._stays:
                self._watch()

    async def _flushed(self) -> None:
        """Wait for a flush that is under way. Cancelled, still wait: it reads from what is closed then."""
        if self._flushing is None:
            return
        try:
            await asyncio.shield(self._flushing)
        except asyncio.CancelledError:
            if self._flushing is not None:
                await asyncio.wait([self._flushing])
            raise

    def let_go(self) -> None:
        """Close it, after the job if there is one."""
        if self._is_let_go:
            return
        self.close_write_end()
        self._is_let_go = True
        if self._log is None:
            self._close_read_end()

    async def close(self) -> None:
        """Both: the job's end, and that of the pipe."""
        self.let_go()
        await self.end()

    def _close_read_end(self) -> None:
        self._watch_no_more()
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1

    def _read(self) -> bytes | None:
        """What was read, for the log too; ``b""`` at the pipe's end, ``None`` when it is empty for now."""
        try:
            data = os.read(self._read_end, CHUNK)
        except BlockingIOError:
            return None
        if self._log is not None:
            self._log.append(data)
        return data

    def _on_readable(self) -> None:
        data = self._read()
        if data == b"":
            self._watch_no_more()
        elif data is None or self._log is None:
            return
        elif self._log.unwritten >= _FLUSH_BYTES:
            self._watch_no_more()
            self._start_flush(self._log)
        elif self._timer is None and self._flushing is None:
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self._start_flush, self._log)

    def _start_flush(self, log: OutputLog) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing is None:
            self._flushing = self._loop.create_task(self._flush(log))

    async def _flush(self, log: OutputLog) -> None:
        try:
            await asyncio.to_thread(self._flush_and_read_on, log)
        except OSError as error:
            # A full disk: the job waits, unread, until there is room again or its time is over.
            _logger.error("A job's output cannot be written, trying again: %s", error)
            self._watch_no_more()
            self._timer = self._loop.call_later(_RETRY_SECONDS, self._start_flush, log)
        else:
            self._watch()
        finally:
            self._flushing = None
            log.changed()

    def _flush_and_read_on(self, log: OutputLog) -> None:
        """Flush; and for a job that goes on printing much, stay here and do no more on the event loop."""
        flood = log.unwritten >= _FLUSH_BYTES
        log.flush()
        if not flood:
            return
        with contextlib.suppress(AttributeError, OSError):  # not Linux, or too many large pipes already
            fcntl.fcntl(self._read_end, fcntl.F_SETPIPE_SZ, _FLOOD_PIPE)
        try:
            # Not for ever: others need the thread too.
            for _ in range(_FLOOD_READS):
                # As much as fits into the file that is written to.
                data = os.read(self._read_end, SEGMENT - log.size % SEGMENT)
                if not data:
                    return
                log.append(data, quietly=True)
                log.flush(and_close=False)
        except BlockingIOError:
            return
        finally:
            log.flush()
