"""A job's output: read from its pipe as it is printed, kept bounded in memory and on disk.

What is printed lies in memory for a moment, then in segment files of the job's run folder, so that
it outlives the host and any watcher can read it at its own pace. It is UTF-8 throughout: an offset
into it means the same while the job runs and afterwards.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

_CHUNK = 64 * 1024
_FLUSH_BYTES = 4 * _CHUNK
_FLUSH_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_SEGMENT = 1024 * 1024

_logger = logging.getLogger(__name__)


class Output(NamedTuple):
    """What a result keeps of an output."""

    text: str
    truncated: bool


class Part(NamedTuple):
    """A piece of an output. `offset` is where it starts, past the one asked for if that is not kept."""

    offset: int
    data: bytes


class OutputFilter(Protocol):
    """Changes output on its way in, such as masking secrets; may hold some back."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class OutputLog:
    """One job's output, of which a result keeps at most `keep` bytes, half from each end.

    `folder` takes the segment files: all of the output up to `limit` bytes, beyond that its beginning
    and its end. Over a folder that has some, the log goes on where they end. Written to from one
    thread, `flush` and `read_files` may be called from any.
    """

    def __init__(
        self, folder: Path, keep: int, limit: int = 0, output_filter: OutputFilter | None = None
    ) -> None:
        self._folder = folder
        self._keep = keep
        self._half = max(1, keep // 2)
        kept_segments = max(limit, 2 * keep) // 2 // _SEGMENT + 1
        self._head_segments = kept_segments
        self._tail_segments = kept_segments + 1
        self._filter = output_filter
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._chunks: list[bytes] = []
        self._lock = threading.Lock()
        self._written, self._last_byte = _existing(folder)
        self.size = self._written
        """Bytes printed so far."""
        self.on_change: Callable[[], None] | None = None
        """Called after each addition."""

    @property
    def unwritten(self) -> int:
        """Bytes that are only in memory."""
        return self.size - self._written

    def append(self, data: bytes) -> None:
        """Add what the job printed, for now in memory; see `flush`."""
        self._add(self._filter.feed(data) if self._filter else data)

    def end(self) -> None:
        """Add what was held back: a character cut short, or what may have been a secret's beginning."""
        if self._filter:
            self._add(self._filter.finish())
        self._keep_chunk(self._decoder.decode(b"", final=True).encode())

    def add_error(self, message: str) -> None:
        """Add lines of the host's own, marked as the specification marks errors."""
        gap = "" if self._last_byte in (b"", b"\n") else "\n"
        self._add(f"{gap}[ERROR] {message}\n".encode("utf-8", "replace"))

    def read(self, offset: int, most: int = _CHUNK) -> Part | None:
        """From `offset` on, if that is in memory; ``None`` when `read_files` has to be asked."""
        position = self._written
        if offset < position:
            return None
        for chunk in self._chunks:
            if offset < position + len(chunk):
                return Part(offset, whole_characters(chunk[offset - position :], most))
            position += len(chunk)
        return Part(offset, b"")

    def read_files(self, offset: int, most: int = _CHUNK) -> Part:
        """From `offset` on, in what has been flushed. Blocks."""
        return read_segments(self._folder, offset, most)

    def flush(self) -> None:
        """Write what is in memory to the segment files. Blocks; any thread may call it."""
        with self._lock:
            taken = len(self._chunks)
            rest = memoryview(b"".join(self._chunks[:taken]))
            while rest:
                number, used = divmod(self._written, _SEGMENT)
                part = rest[: _SEGMENT - used]
                self._folder.mkdir(mode=0o700, exist_ok=True)
                with _segment(self._folder, number).open("ab", buffering=0) as file:
                    file.write(part)
                # A reader goes to the files for what is written, to memory for the rest.
                self._written += len(part)
                rest = rest[len(part) :]
                self._drop_middle(number)
            del self._chunks[:taken]

    def output(self) -> Output:
        """What a result keeps. Blocks, unless nothing has been written yet and `size` is within `keep`."""
        if self.size <= self._keep:
            with self._lock:
                files = map(Path.read_bytes, _segments(self._folder)) if self._written else ()
                return Output(b"".join((*files, *self._chunks)).decode("utf-8", "replace"), False)
        self.flush()
        head = whole_characters(self._read_range(0, self._half), self._half)
        tail = _drop_partial_start(self._read_range(self.size - self._half, self._half))
        mark = f"\n[... {self.size - len(head) - len(tail)} bytes of output left out ...]\n"
        return Output(head.decode("utf-8", "replace") + mark + tail.decode("utf-8", "replace"), True)

    def _add(self, data: bytes) -> None:
        if not data.isascii() or self._decoder.getstate() != (b"", 0):
            data = self._decoder.decode(data).encode()
        self._keep_chunk(data)

    def _keep_chunk(self, data: bytes) -> None:
        if data:
            self._chunks.append(data)
            self.size += len(data)
            self._last_byte = data[-1:]
            if self.on_change is not None:
                self.on_change()

    def _drop_middle(self, number: int) -> None:
        middle = number - self._tail_segments
        if middle >= self._head_segments:
            _segment(self._folder, middle).unlink(missing_ok=True)

    def _read_range(self, offset: int, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = read_segments(self._folder, offset + len(data), size - len(data), whole=False)
            if not part.data:
                break
            data += part.data
        return data


def read_segments(folder: Path, offset: int, most: int = _CHUNK, *, whole: bool = True) -> Part:
    """From `offset` on, or from where the output goes on behind a gap, in a log's segment files.

    Ends with whole characters unless `whole` is false. Blocks.
    """
    number, skip = divmod(offset, _SEGMENT)
    try:
        with _segment(folder, number).open("rb") as file:
            file.seek(skip)
            data = file.read(most)
        if data:
            return Part(offset, whole_characters(data, most) if whole else data)
    except FileNotFoundError:
        pass
    for path in _segments(folder):
        start = int(path.suffix[1:]) * _SEGMENT
        if start > offset:
            data = _drop_partial_start(path.read_bytes()[:most])
            return Part(start, whole_characters(data, most))
    return Part(offset, b"")


def _segment(folder: Path, number: int) -> Path:
    return folder / f"output.{number:09d}"


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("output.*"))


def _existing(folder: Path) -> tuple[int, bytes]:
    segments = _segments(folder)
    if not segments:
        return 0, b""
    content = segments[-1].read_bytes()
    return int(segments[-1].suffix[1:]) * _SEGMENT + len(content), content[-1:]


def whole_characters(data: bytes, most: int) -> bytes:
    """At most `most` bytes of `data`, without a UTF-8 character that would be cut at the end."""
    data = data[:most]
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if length > back else data
    return data


def _drop_partial_start(data: bytes) -> bytes:
    """`data` without the rest of a UTF-8 character that was cut at its start."""
    for position in range(min(3, len(data))):
        if data[position] & 0xC0 != 0x80:
            return data[position:]
    return data


class OutputPipe:
    """A pipe whose read end the running event loop copies into `log` until `close`.

    A job that prints faster than the disk takes it waits: no more than a few chunks are in memory.
    """

    def __init__(self, log: OutputLog) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._loop.add_reader(self._read_end, self._on_readable)

    def close_write_end(self) -> None:
        """To be called once the job has its own copy: the pipe ends when nobody holds one."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    async def close(self) -> None:
        """Take in what has been printed and let go; what a survivor prints later is not kept."""
        self.close_write_end()
        if self._flushing is not None:
            await self._flushing
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._read_end)
        try:
            while self._read():
                if self._log.unwritten >= _FLUSH_BYTES:
                    await asyncio.to_thread(self._log.flush)
        except OSError as error:
            _logger.error("The end of a job's output is lost: %s", error)
        finally:
            os.close(self._read_end)

    def _read(self) -> bool:
        try:
            data = os.read(self._read_end, _CHUNK)
        except BlockingIOError:
            return False
        self._log.append(data)
        return bool(data)

    def _on_readable(self) -> None:
        if not self._read():
            self._loop.remove_reader(self._read_end)
        elif self._log.unwritten >= _FLUSH_BYTES:
            self._loop.remove_reader(self._read_end)
            self._start_flush()
        elif self._timer is None and self._flushing is None:
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self._start_flush)

    def _start_flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing is None:
            self._flushing = self._loop.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            await asyncio.to_thread(self._log.flush)
        except OSError as error:
            # A full disk: the job waits, unread, until there is room again or its time is over.
            _logger.error("A job's output cannot be written, trying again: %s", error)
            self._loop.remove_reader(self._read_end)
            self._timer = self._loop.call_later(_RETRY_SECONDS, self._start_flush)
        else:
            self._loop.add_reader(self._read_end, self._on_readable)
        finally:
            self._flushing = None
