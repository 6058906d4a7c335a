"""A job's output: read from its pipe as it is printed, kept bounded in memory and on disk.

What is printed lies in memory for a moment, then in segment files of the job's run folder, so that
it outlives the host. Of a long output the beginning and the end are kept.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path
from typing import NamedTuple

_CHUNK = 64 * 1024
_FLUSH_BYTES = 4 * _CHUNK
_FLUSH_SECONDS = 0.1
_RETRY_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class Output(NamedTuple):
    """What a result keeps of an output."""

    text: str
    truncated: bool


class OutputLog:
    """One job's output, of which a result keeps at most `keep` bytes, half from each end.

    `folder` takes the segment files, at most 1.5 times `keep` bytes of them; over a folder that has
    some, the log goes on where they end.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep
        self._half = max(1, keep // 2)
        self._chunks: list[bytes] = []
        self._lock = threading.Lock()
        self._written, self._last_byte = self._resume()
        self.size = self._written
        """Bytes printed so far."""

    @property
    def unwritten(self) -> int:
        """Bytes that are only in memory."""
        return self.size - self._written

    def append(self, data: bytes) -> None:
        """Add `data`, for now in memory; see `flush`."""
        if data:
            self._chunks.append(data)
            self.size += len(data)
            self._last_byte = data[-1:]

    def add_error(self, message: str) -> None:
        """Add lines of the host's own, marked as the specification marks errors."""
        gap = "" if self._last_byte in (b"", b"\n") else "\n"
        self.append(f"{gap}[ERROR] {message}\n".encode("utf-8", "replace"))

    def flush(self) -> None:
        """Write what is in memory to the segment files. Blocks; any thread may call it."""
        with self._lock:
            taken = len(self._chunks)
            rest = memoryview(b"".join(self._chunks[:taken]))
            while rest:
                number, used = divmod(self._written, self._half)
                part = rest[: self._half - used]
                with self._segment(number).open("ab", buffering=0) as file:
                    file.write(part)
                self._written += len(part)
                rest = rest[len(part) :]
                if number > 2:
                    self._segment(number - 2).unlink(missing_ok=True)
            del self._chunks[:taken]

    def output(self) -> Output:
        """What a result keeps. Blocks, unless nothing has been written yet and `size` is within `keep`."""
        if self.size <= self._keep:
            with self._lock:
                data = b"".join((*map(Path.read_bytes, self._segments()), *self._chunks))
            return Output(data.decode("utf-8", "replace"), False)
        self.flush()
        segments = self._segments()
        head = _drop_partial_end(segments[0].read_bytes())
        end = b"".join(path.read_bytes() for path in segments[1:][-2:])
        tail = _drop_partial_start(end[-self._half :])
        mark = f"\n[... {self.size - len(head) - len(tail)} bytes of output left out ...]\n"
        return Output(head.decode("utf-8", "replace") + mark + tail.decode("utf-8", "replace"), True)

    def _segment(self, number: int) -> Path:
        return self._folder / f"output.{number:012d}"

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("output.*")) if self._written else []

    def _resume(self) -> tuple[int, bytes]:
        segments = sorted(self._folder.glob("output.*"))
        if not segments:
            return 0, b""
        content = segments[-1].read_bytes()
        return int(segments[-1].suffix[1:]) * self._half + len(content), content[-1:]


def _drop_partial_end(data: bytes) -> bytes:
    """`data` without a UTF-8 character that was cut at its end."""
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
