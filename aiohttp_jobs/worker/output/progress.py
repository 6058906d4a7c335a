"""Follows the progress that an output tells of, whatever the pieces it comes in."""

from __future__ import annotations

from ...model.progress import LONGEST, START, Progress, last_progress

_ESCAPE = b"\x1b"
_ENDS = (b"\x07", b"\x1b", b"\n")


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
