"""An output on disk: segment files of fixed size in one folder, readable from any offset. All calls block.

If an output is larger than its limit, segments in the middle are missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ...model.output import CHUNK, OutputPart, Span, joined_spans
from ...system.guarded_files import (
    UnreadableFileError,
    is_folder,
    open_folder,
    open_in_place,
    open_regular,
    set_aside,
    set_aside_unless_folder,
)

SEGMENT = 1024 * 1024
_SPARE = "spare"
_LONGEST_CHARACTER = 4
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_NAME = re.compile(r"output\.\d{9}")
_MOST_FILES = 100_000


class SegmentWriter:
    """Appends to the output in `folder`, which has `written` bytes.

    The first `head` and the last `tail` segments are kept. The last file may stay open between calls. For one
    thread at a time.
    """

    def __init__(self, folder: str | Path, head: int, tail: int, written: int) -> None:
        self._folder = folder
        self._head = head
        self._tail = tail
        self._number = -1
        self._descriptor = -1
        self.written = written

    def write(self, data: bytes) -> None:
        """Append `data`. Raises ``OSError`` when the disk refuses it; `written` says how much was written."""
        rest = memoryview(data)
        while rest:
            number, used = divmod(self.written, SEGMENT)
            if number != self._number:
                self._open(number)
            count = os.write(self._descriptor, rest[: SEGMENT - used])
            self.written += count
            rest = rest[count:]

    def write_segment(self, segment: bytearray) -> None:
        """Append a whole segment at a segment boundary. Raises ``OSError``; nothing is written then.

        The file of a segment that is no longer kept is overwritten, which costs a third of creating a file
        and removing another.
        """
        number = self.written // SEGMENT
        target, middle = segment_path(self._folder, number), number - self._tail
        spare = f"{self._folder}/{_SPARE}"
        self.close()
        try:
            if middle >= self._head:
                # Whoever reads it now sees that it is gone (`_contiguous`) before it changes.
                with contextlib.suppress(FileNotFoundError):
                    os.rename(segment_path(self._folder, middle), spare)
            _write_whole(spare, segment)
            os.rename(spare, target)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(spare)
            raise
        self.written += SEGMENT

    def close(self) -> None:
        """Close the open file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._number = self._descriptor = -1

    def _open(self, number: int) -> None:
        self.close()
        path = segment_path(self._folder, number)
        if not is_folder(self._folder):
            self._make_folder()
        self._descriptor = open_in_place(path, _APPENDING)
        if self.written % SEGMENT == 0 and os.fstat(self._descriptor).st_size:
            # Not of this output: a job has put it there.
            os.close(self._descriptor)
            self._descriptor = -1
            set_aside(path, "a segment that is not written yet belongs there")
            self._descriptor = open_in_place(path, _APPENDING | os.O_EXCL)
        self._number = number
        middle = number - self._tail
        if middle >= self._head:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(segment_path(self._folder, middle))

    def _make_folder(self) -> None:
        """Make the folder: the first time, or because a job has removed or replaced it."""
        set_aside_unless_folder(self._folder, "a folder belongs there")
        os.makedirs(self._folder, 0o700, exist_ok=True)


def _write_whole(path: str, segment: bytearray) -> None:
    descriptor = open_in_place(path, os.O_WRONLY | os.O_CREAT)
    try:
        if os.pwrite(descriptor, segment, 0) != len(segment):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def segment_path(folder: str | Path, number: int) -> str:
    return f"{folder}/output.{number:09d}"


def segments(folder: str | Path) -> list[Path]:
    """The existing segment files, first to last."""
    try:
        descriptor = open_folder(folder)
    except (FileNotFoundError, UnreadableFileError):
        return []
    try:
        with os.scandir(descriptor) as entries:
            names = [entry.name for entry in islice(entries, _MOST_FILES)]
    finally:
        os.close(descriptor)
    return [Path(folder, name) for name in sorted(names) if _NAME.fullmatch(name)]


def read_segments(folder: str | Path, offset: int, most: int = CHUNK, *, whole: bool = True) -> OutputPart:
    """Read at most `most` bytes from `offset` on, or from the end of a gap.

    Starts (after a gap) and ends with whole UTF-8 characters unless `whole` is false.
    """
    data = _contiguous(folder, offset, most)
    kept = whole_characters(data, most) if whole else data
    if kept:
        return OutputPart(offset, kept)
    for path in segments(folder):
        start = int(path.suffix[1:]) * SEGMENT
        if start > offset + len(data):
            behind = OutputPart(start, _contiguous(folder, start, most))
            return of_whole_characters(behind, offset, most) if whole else behind
    return OutputPart(offset, b"")


def kept_spans(folder: str | Path) -> list[Span]:
    """The stored byte ranges, first to last; each begins and ends with a whole UTF-8 character."""
    found: list[Span] = []
    for path in segments(folder):
        start = int(path.suffix[1:]) * SEGMENT
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile: a gap
            state = path.lstat()
            if not stat.S_ISREG(state.st_mode):
                continue
            found.append(Span(start, start + min(state.st_size, SEGMENT)))
    return [_of_whole_characters(folder, span) for span in joined_spans(found)]


def _of_whole_characters(folder: str | Path, span: Span) -> Span:
    first = _contiguous(folder, span.start, _LONGEST_CHARACTER) if span.start else b""
    start = span.start + len(first) - len(drop_partial_start(first))
    last = _contiguous(folder, max(start, span.stop - _LONGEST_CHARACTER), _LONGEST_CHARACTER)
    return Span(start, span.stop - len(last) + len(whole_characters(last, len(last))))


def existing(folder: str | Path) -> tuple[int, bytes]:
    """The size of the output, and its last byte."""
    paths = segments(folder)
    if not paths:
        return 0, b""
    try:
        with _opened(folder, paths[-1].name) as descriptor:
            size = min(os.fstat(descriptor).st_size, SEGMENT)
            return int(paths[-1].suffix[1:]) * SEGMENT + size, os.pread(descriptor, 1, max(0, size - 1))
    except (FileNotFoundError, UnreadableFileError):
        return 0, b""


def whole_characters(data: bytes, most: int) -> bytes:
    """At most `most` bytes of `data`, without an incomplete UTF-8 character at the end."""
    data = data[:most]
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if length > back else data
    return data


def of_whole_characters(part: OutputPart, offset: int, most: int) -> OutputPart:
    """At most `most` bytes of what was read from `offset` on: no incomplete character at its end, nor at its
    start when that is behind a gap.
    """
    clean = drop_partial_start(part.data) if part.offset > offset else part.data
    return OutputPart(part.offset + len(part.data) - len(clean), whole_characters(clean, most))


def drop_partial_start(data: bytes) -> bytes:
    """`data` without the rest of an incomplete UTF-8 character at its start."""
    for position in range(min(4, len(data))):
        if data[position] & 0xC0 != 0x80:
            return data[position:]
    return data


def _contiguous(folder: str | Path, offset: int, most: int) -> bytes:
    """What lies from `offset` on without a gap, across as many files as it takes."""
    pieces: list[bytes] = []
    found = 0
    while found < most:
        number, skip = divmod(offset + found, SEGMENT)
        piece = _read_one(segment_path(folder, number), min(most - found, SEGMENT - skip), skip)
        if not piece:
            break
        pieces.append(piece)
        found += len(piece)
    return b"".join(pieces)


def _read_one(path: str, most: int, skip: int) -> bytes:
    """Nothing when there is no such file, or none any more."""
    folder, _, name = path.rpartition("/")
    try:
        with _opened(folder, name) as descriptor:
            data = os.pread(descriptor, most, skip)
            os.lstat(path)  # or it is being written over, see `write_segment`
    except (FileNotFoundError, UnreadableFileError):
        return b""
    return data


@contextlib.contextmanager
def _opened(folder: str | Path, name: str) -> Iterator[int]:
    """The file `name`, by way of `folder` itself: a link in the place of either is not followed."""
    within = open_folder(folder)
    try:
        descriptor = open_regular(name, folder=within)
    finally:
        os.close(within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
