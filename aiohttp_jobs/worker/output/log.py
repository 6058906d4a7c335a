"""A job's output, limited in memory and on disk, and readable while it grows.

It is in memory briefly, and then in segment files of the job's run folder, so that it survives the host and
every watcher can read at its own pace. It is UTF-8 throughout, so an offset means the same during the job and
afterwards.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ...model.output import CHUNK, OutputPart, Span
from ...model.progress import LONGEST, START, Progress, last_progress
from .masking import Masker
from .segments import (
    SEGMENT,
    SegmentWriter,
    drop_partial_start,
    existing,
    kept_spans,
    read_segments,
    whole_characters,
)

_ESCAPE = b"\x1b"
_ENDS = (b"\x07", b"\x1b", b"\n")
_MOST_READ_AGAIN = 4 * CHUNK
_new_decoder = codecs.getincrementaldecoder("utf-8")
_logger = logging.getLogger(__name__)


class Output(NamedTuple):
    """The part of an output that a result contains."""

    text: str
    truncated: bool


class OutputLog:
    """One job's output, of which a result contains at most `keep` bytes, half from each end.

    `folder` gets the segment files: the whole output up to `limit` bytes, beyond that its beginning and its
    end. If the folder has segments, the log continues them, unless it `is_new`. Written from one thread;
    `flush` and `read_files` may be called from any.
    """

    def __init__(self, folder: str | Path, keep: int, limit: int = 0, *, is_new: bool = False) -> None:
        self._folder = folder
        self._keep = keep
        self._half = max(1, keep // 2)
        self._kept_segments = max(limit, 2 * keep) // 2 // SEGMENT + 1
        self._decoder: codecs.IncrementalDecoder | None = None  # until there is something not ASCII
        self.size, self._last_byte = (0, b"") if is_new else existing(folder)
        """Bytes printed so far."""
        self._writer: SegmentWriter | None = None  # until something is written, as most is not
        self._chunks: list[bytes] = []
        self._taken: str | None = None  # what lay in the chunks until it was asked for as one text
        self._chunks_start = self.size
        self._written = self.size
        self._chunks_lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._is_closed = False
        self._scanner = ProgressScanner()
        self.on_change: Callable[[], None] | None = None
        """Called after each addition."""
        self.on_refused: Callable[[OSError], None] = lambda error: None
        """Called, from any thread, when the disk does not take what is printed; that is tried again."""
        self.masker: Masker | None = None
        """What keeps secrets out of it; to be set before anything is added."""
        self.file_writer: LogWriter | None = None
        """Who writes it for those who watch it; ``None`` while nobody does."""
        self._being_written: int | None = None  # up to where, while the `file_writer` has it
        self._once_this_is_written: list[Callable[[], None]] = []
        self._once_written: list[Callable[[], None]] = []

    @property
    def unwritten(self) -> int:
        """How many bytes are only in memory."""
        return self.size - self._written

    @property
    def written(self) -> int:
        """How many bytes are in the files."""
        return self._written

    @property
    def progress(self) -> Progress | None:
        """The last progress that the output reported; the same object until it changes."""
        return self._scanner.progress

    @property
    def output_blocks(self) -> bool:
        """Whether `output` must read or write files."""
        return self._chunks_start > 0 or self.size > self._keep or self._being_written is not None

    def room(self, most: int) -> int:
        """How many bytes to `append` next: until `most` are only in memory, but a chunk at least, and no more
        than the event loop has time for.
        """
        room = max(most - self.unwritten, CHUNK)
        return room if self.masker is None else min(room, self.masker.most_at_once)

    def append(self, data: bytes, *, quietly: bool = False) -> None:
        """Append what the job printed, to memory; see `flush`. With `quietly`, watchers are not woken."""
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
        """Append what was held back: a possible start of a secret, an incomplete character."""
        if self.masker is not None:
            self._append(self.masker.end())
        if self._decoder is not None:
            self._keep_chunk(self._decoder.decode(b"", final=True).encode())

    def add_error(self, message: str) -> None:
        """Append lines of the host, marked as the specification marks errors."""
        self.add_line(f"[ERROR] {message}")

    def add_line(self, line: str) -> None:
        """Append a line of the host, after `end`."""
        gap = "" if self._last_byte in (b"", b"\n") else "\n"
        self._keep_chunk(f"{gap}{line}\n".encode("utf-8", "replace"))

    def read(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart | None:
        """Read from `offset` on, if that is in memory; ``None`` when `read_files` must be used."""
        with self._chunks_lock:
            self._put_back()
            position, chunks = self._chunks_start, self._chunks.copy()
        if offset < position:
            return None
        # All of it, and not the first chunk alone: a line may be two, its text and its end.
        found, size = [], 0
        for chunk in chunks:
            if size >= most:
                break
            if offset < position + len(chunk):
                found.append(chunk[max(0, offset - position) :])
                size += len(found[-1])
            position += len(chunk)
        data = b"".join(found)
        return OutputPart(offset, whole_characters(data, most) if whole else data[:most])

    def read_files(self, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
        """Read from `offset` on, from what was flushed. Blocks."""
        return read_segments(self._folder, offset, most, whole=whole)

    def kept_spans(self) -> list[Span]:
        """The byte ranges that were flushed and are stored. Blocks."""
        return kept_spans(self._folder)

    def flush(self, *, and_close: bool = True, is_watched: bool = False) -> None:
        """Write what is in memory to the segment files. Blocks; from any thread.

        Unless `and_close`, the last file stays open, because more will follow. If it `is_watched`, what is
        written now stays in memory until the next time, for those who are about to read it.
        """
        with self._flush_lock:
            if self._is_closed:
                return
            with self._chunks_lock:
                self._put_back()
                taken = list(self._chunks)
            writer = self._segments()
            # What an earlier attempt wrote before the disk refused is not written again.
            new = b"".join(taken)[writer.written - self._chunks_start :]
            try:
                writer.write(new)
            finally:
                if and_close:
                    writer.close()
            kept = [new] if is_watched and 0 < len(new) <= _MOST_READ_AGAIN else []
            # Only now: until here readers find it all in memory, from here on all in the files.
            with self._chunks_lock:
                self._chunks = kept + self._chunks[len(taken) :]
                self._written = writer.written
                self._chunks_start = writer.written - sum(map(len, kept))

    def once_written(self, then: Callable[[], None]) -> None:
        """Call `then` once what was appended so far is in the files, or the disk has refused it.

        In the event loop's thread, and by it; at once when there is nothing to write, or no `file_writer`.
        """
        if self.file_writer is None or not self.unwritten:
            then()
            return
        if self._being_written == self.size:
            self._once_this_is_written.append(then)
            return
        self._once_written.append(then)
        if self._being_written is None:
            self._write(self.file_writer)

    def _write(self, writer: LogWriter) -> None:
        self._being_written = self.size
        self._once_this_is_written, self._once_written = self._once_written, []
        writer.write(self, lambda: self._was_written(writer))

    def _was_written(self, writer: LogWriter) -> None:
        self._being_written, waiting = None, self._once_this_is_written
        if self._once_written:  # what was appended meanwhile
            self._write(writer)
        for then in waiting:
            then()

    def _segments(self) -> SegmentWriter:
        """What writes the files; with `_flush_lock`."""
        if self._writer is None:
            head = self._kept_segments
            self._writer = SegmentWriter(self._folder, head, head + 1, self._chunks_start)
        return self._writer

    def close(self) -> None:
        """Write no more files: the result has the output, and the run folder is about to be removed.

        It can still be read. Waits for a flush that is in progress.
        """
        with self._flush_lock:
            self._is_closed = True

    def add_segment(self, segment: bytearray) -> None:
        """Append `SEGMENT` bytes, directly as a file if they are a whole one; watchers are not woken. Blocks.

        Raises ``OSError`` when the disk refuses them; they are in memory then.
        """
        if self._is_file(segment):
            try:
                self._write_segment(segment)
            except OSError:
                self._append(bytes(segment), quietly=True)
                raise
        else:
            self.append(bytes(segment), quietly=True)
            self.flush(and_close=False)

    def _is_file(self, segment: bytearray) -> bool:
        """Whether a segment begins there, and has all of what is to be kept and nothing else."""
        is_apart = not self.unwritten and self.size % SEGMENT == 0
        is_text = self._decoder is None or self._decoder.getstate() == (b"", 0)
        return self.masker is None and is_apart and is_text and segment.isascii()

    def _write_segment(self, segment: bytearray) -> None:
        with self._flush_lock:
            writer = self._segments()
            writer.write_segment(segment)
            with self._chunks_lock:
                self._chunks = []  # what was kept for who reads along
                self._chunks_start = self._written = writer.written
                self.size = writer.written
                self._last_byte = bytes(segment[-1:])
            self._scanner.feed(segment)

    def output(self) -> Output:
        """The part of the output for the result. To be called after `end`. Blocks if `output_blocks`.

        Raises ``OSError`` when the disk fails; nothing is lost then.
        """
        if not self.size:
            return Output("", False)
        if self.size <= self._keep:
            with self._flush_lock:
                return Output(self._whole_text(), False)
        self.flush()
        head = self.read_files(0, self._half).data
        tail = drop_partial_start(self.read_files(self.size - self._half, self._half, whole=False).data)
        mark = f"\n[... {self.size - len(head) - len(tail)} bytes of output left out ...]\n"
        return Output(head.decode("utf-8", "replace") + mark + tail.decode("utf-8", "replace"), True)

    def output_without_disk(self, reason: str) -> Output:
        """What is available of an output whose disk fails, and its size. Blocks."""
        with self._chunks_lock:
            self._put_back()
            start, held = self._chunks_start, b"".join(self._chunks)
        head = b"" if start else whole_characters(held, self._half)
        if start:
            with contextlib.suppress(OSError):
                head = self.read_files(0, self._half).data
        tail = drop_partial_start(held[max(0, len(head) - start) :][-self._half :])
        left_out = self.size - len(head) - len(tail)
        mark = (
            f"\n[... {left_out} bytes of output left out, which may be lost: the server's disk refused them "
            f"({reason}) ...]\n"
        )
        text = head.decode("utf-8", "replace") + (mark if left_out else "") + tail.decode("utf-8", "replace")
        return Output(text, left_out > 0)

    def _whole_text(self) -> str:
        written = self._chunks_start
        files = read_segments(self._folder, 0, written, whole=False).data if written else b""
        with self._chunks_lock:
            self._put_back()
            text = b"".join((files, *self._chunks)).decode("utf-8", "replace")
            if not written:
                # The result has it from now on: it need not be in memory twice, unless it is watched.
                self._chunks, self._taken = [], text
        return text

    def _put_back(self) -> None:
        if self._taken is not None:
            self._chunks.insert(0, self._taken.encode())
            self._taken = None

    def _keep_chunk(self, data: bytes, *, quietly: bool = False) -> None:
        if data:
            with self._chunks_lock:
                self._chunks.append(data)
            self._scanner.feed(data)
            self.size += len(data)
            self._last_byte = data[-1:]
            if not quietly:
                self.changed()

    def changed(self) -> None:
        """Wake the watchers; in the event loop's thread."""
        if self.on_change is not None:
            self.on_change()


class LogWriter:
    """Writes logs that somebody watches to their files, in a thread of its own, as soon as there is news.

    A thread that waits for nothing else is told in half the time that a pool of threads takes. It starts with
    the first log, and `close` ends it.
    """

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def write(self, log: OutputLog, then: Callable[[], None]) -> None:
        """Flush `log`, and have the running event loop call `then` afterwards, even if the disk refuses."""
        loop = asyncio.get_running_loop()
        if self._is_closed:
            loop.call_soon(then)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="aiohttp-jobs-logs", daemon=True)
            self._thread.start()
        self._asked.put(_Asked(log, loop, then))

    def close(self) -> None:
        """End the thread, after what it was asked for; nothing is written any more. Blocks."""
        self._is_closed = True
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            try:
                asked.log.flush(is_watched=True)
            except OSError:  # a full disk is the log's own to report
                pass
            except Exception:
                _logger.exception("A job's output cannot be written")
            with contextlib.suppress(RuntimeError):  # the loop is closed
                asked.loop.call_soon_threadsafe(asked.then)
            asked = None  # what has ended must not wait for the next one


class _Asked(NamedTuple):
    log: OutputLog
    loop: asyncio.AbstractEventLoop
    then: Callable[[], None]


class ProgressScanner:
    """Looks at what passes, and holds no more than a sequence that is not whole yet."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        """What was said last; the same object until something else is."""
        self._begun = b""

    def feed(self, data: bytes | bytearray) -> None:
        """Take in the next piece. A look for one byte where nothing is said, as in most outputs."""
        if not self._begun and _ESCAPE not in data:
            return
        text = self._begun + data
        found = last_progress(text)
        if found is not None and found[0] != self.progress:
            self.progress = found[0]
        self._begun = _unfinished(text)


def _unfinished(text: bytes) -> bytes:
    """The end of `text` that may be the beginning of a sequence."""
    at = text.rfind(START, max(0, len(text) - LONGEST))
    if at >= 0 and (text.endswith(_ESCAPE) or not any(end in text[at + 1 :] for end in _ENDS)):
        return text[at:]
    at = text.rfind(_ESCAPE, max(0, len(text) - len(START)))
    return text[at:] if at >= 0 and START.startswith(text[at:]) else b""
