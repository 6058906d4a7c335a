"""The stored output of an ended job as one text, for downloads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ...engine.base import JobOutput
from ...errors import NotFoundError
from ...model.output import Span

_PIECE = 256 * 1024


class WholeOutput:
    """The stored output as one text, with a note in place of each gap."""

    def __init__(self, reader: JobOutput, spans: Sequence[Span]) -> None:
        """`spans` are the byte ranges that the reader has."""
        self._reader = reader
        self._pieces: list[bytes | Span] = []
        self.left_out = end = 0
        """The number of bytes that are missing in it."""
        for span in spans:
            if span.start > end:
                self.left_out += span.start - end
                self._pieces.append(note_of_gap(span.start - end, reader.left_out_because))
            self._pieces.append(span)
            end = span.stop
        self.size = sum(map(_length, self._pieces))
        self.gap = spans[0].stop if spans and spans[0].start == 0 else 0
        """Where the first bytes are that are not kept, or where it ends."""
        self.attempt = reader.attempt

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `stop`, in pieces.

        Raises `NotFoundError` when the output is deleted meanwhile.
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


def note_of_gap(count: int, because: str) -> bytes:
    """The line that stands for `count` missing bytes."""
    reason = f": {because}" if because else ""
    return f"\n[... {count} bytes of output left out{reason} ...]\n".encode()


def _length(piece: bytes | Span) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.stop - piece.start
