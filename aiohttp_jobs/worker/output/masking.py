"""Masks secret values in an output, however it is split into chunks.

Bytes that could be the start of a secret are held back until what follows decides, or the output ends. They
are not released after a while, because the rest of the secret may still come.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection
from copy import copy

from .encodings import encoded_forms, wrapped_forms

MASK = b"********"
_LOOKS = 64 * 64 * 1024
_FEWEST = 2048
_LEAST_RUN = 16
_DIGITS = rb"[A-Za-z0-9+/_=-]"
_JOINT = re.compile(
    rb"(?:\n(?<=%(run)s\n)|\r\n(?<=%(run)s\r\n))[ \t]{0,16}(?=%(digit)s|\Z)|\r(?<=%(run)s\r)\Z"
    % {b"run": _DIGITS + b"{%d}" % _LEAST_RUN, b"digit": _DIGITS}
)
"""The end of a line of base64 that may go on in the next: what is broken into shorter lines is not seen."""


class Masker:
    """Masks `secrets` in a stream of bytes: as they are, line by line, and in the encodings of ``encodings``.

    Base64 is also found within longer texts that were encoded, and in lines of 16 characters or more. Other
    transformations of a secret (reversed, printed in halves) are not detected.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        # One that contains another needs no look of its own, but may show only later that it is one.
        self._forms = sorted(encoded_forms(secrets), key=len, reverse=True)
        self._wrapped = sorted(wrapped_forms(secrets), key=len, reverse=True)
        self._has_ended = False
        self._held = b""
        self._before = b""  # the end of what was shown, which tells whether a line is one of base64
        self._masked = 0  # so many of the held bytes belong to a secret whose mask is out already
        forms = len(self._forms) + len(self._wrapped)
        self.most_at_once = max(_FEWEST, _LOOKS // max(1, forms))
        """Bytes that `feed` takes in some milliseconds: the more forms there are, the fewer."""

    def feed(self, data: bytes) -> bytes:
        """Add `data`; return what can be shown of the output so far."""
        if self._has_ended:
            return b""
        return self._advance(data, final=False)

    def end(self) -> bytes:
        """The rest of the output. Anything later is dropped, because the secrets are forgotten by then."""
        rest = self._advance(b"", final=True)
        self._forms, self._wrapped, self._before, self._has_ended = [], [], b"", True
        return rest

    def whole(self, text: bytes) -> bytes:
        """Mask `text`, which is not part of the stream. Not after `end`."""
        apart = copy(self)
        apart._held, apart._before, apart._masked = b"", b"", 0
        return apart._advance(text, final=True)

    def _advance(self, data: bytes, *, final: bool) -> bytes:
        text = self._held + data
        views = [_View(text, self._forms)]
        if self._wrapped and (joints := self._joints(text)):
            views.append(_View(text, self._wrapped, joints))
        stop = len(text) if final else min(view.undecided() for view in views)
        shown = bytearray()
        position = self._masked
        for start, end in sorted(place for view in views for place in view.found()):
            if start >= stop:
                break
            if start >= position:
                shown += text[position:start] + MASK
            position = max(position, end)
        shown += text[position:stop]
        self._before = (self._before + text[:stop])[-_LEAST_RUN:]
        self._held, self._masked = text[stop:], max(0, position - stop)
        return bytes(shown)

    def _joints(self, text: bytes) -> list[tuple[int, int]]:
        """Where a line of base64 in `text` ends, and where the next begins."""
        if b"\n" not in text and not text.endswith(b"\r"):
            return []
        offset = len(self._before)
        found = (match.span() for match in _JOINT.finditer(self._before + text))
        return [(start - offset, end - offset) for start, end in found if start >= offset]


class _View:
    """A text in which `forms` are looked for, as if it had nothing at the `joints`."""

    def __init__(self, text: bytes, forms: list[bytes], joints: list[tuple[int, int]] | None = None) -> None:
        self._forms = forms
        self._text = text
        self._starts, self._shifts = [0], [0]
        if joints:
            ends = [0, *(end for _, end in joints)]
            starts = [*(start for start, _ in joints), len(text)]
            pieces = [text[end:start] for end, start in zip(ends, starts, strict=True)]
            self._text = b"".join(pieces)
            for piece, (start, end) in zip(pieces, joints, strict=False):
                self._starts.append(self._starts[-1] + len(piece))
                self._shifts.append(self._shifts[-1] + end - start)
        self._end = len(text)

    def found(self) -> list[tuple[int, int]]:
        """Where the forms occur, overlapping ones too: places in the whole text."""
        found: list[tuple[int, int]] = []
        for form in self._forms:
            start = self._text.find(form)
            while start >= 0:
                found.append((self._place(start), self._place(start + len(form) - 1) + 1))
                start = self._text.find(form, start + 1)
        return found

    def undecided(self) -> int:
        """Where in the whole text the longest end starts that is the beginning of a form."""
        text, first = self._text, len(self._text)
        for form in self._forms:
            start = text.find(form[:1], max(0, len(text) - len(form) + 1), first)
            while start >= 0:
                if form.startswith(text[start:]):
                    first = start
                    break
                start = text.find(form[:1], start + 1, first)
        return self._place(first) if first < len(text) else self._end

    def _place(self, position: int) -> int:
        """The place in the whole text of one in what is looked at."""
        return position + self._shifts[bisect_right(self._starts, position) - 1]
